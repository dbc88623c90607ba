package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// How long a program waits for another one that has the state directory, and how
// often it looks. Most orders are done in a second; a gateway with a long ledger opens
// for ten.
const (
	lockPatience = 30 * time.Second
	lockEvery    = 20 * time.Millisecond
	lockSilence  = time.Second // before a person is told
)

// noticeKey is where WithNotice keeps its function.
type noticeKey struct{}

// WithNotice gives a context for calls that may wait for another program: tell gets a
// sentence for people when one has waited for a second.
func WithNotice(ctx context.Context, tell func(notice string)) context.Context {
	return context.WithValue(ctx, noticeKey{}, tell)
}

// InUseError says that another program has the state directory.
type InUseError struct {
	Dir     string
	Holder  string // like "process 123 ("bellwether run")", or "nobody knows which"
	Gateway bool   // it answers on the control socket
}

func (e *InUseError) Error() string {
	if e.Gateway {
		return fmt.Sprintf("state directory %s is in use by another process: a gateway runs there, %s; stop that one first, or give another --state", e.Dir, e.Holder)
	}
	return fmt.Sprintf("state directory %s is in use by another process: %s; wait until that has ended or stop it, or give another --state", e.Dir, e.Holder)
}

// lockDir takes a state directory for this process. For another program that has it,
// it waits up to lockPatience, or until ctx ends; the error is then an [*InUseError],
// and so it is at once when a gateway answers there. The log or, without one, the notice
// of ctx says that it waits.
func lockDir(ctx context.Context, dir string, log *slog.Logger) (*os.File, error) {
	began := time.Now()
	logged := log != nil && log.Enabled(ctx, slog.LevelInfo)
	notice, _ := ctx.Value(noticeKey{}).(func(string))
	for told := false; ; {
		f, err := tryLock(dir)
		var taken *InUseError
		if !errors.As(err, &taken) {
			return f, err
		}
		if conn, dialErr := dial(dir); dialErr == nil {
			taken.Gateway = true
			return nil, errors.Join(taken, conn.Close())
		}
		switch {
		case told:
		case logged:
			log.Info("waiting for another program that has the state directory", "holder", taken.Holder)
			told = true
		case notice != nil && time.Since(began) >= lockSilence:
			notice(fmt.Sprintf("waiting up to %s for state directory %s, which is in use by another process: %s", lockPatience, dir, taken.Holder))
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("stopped waiting: %w (%w)", taken, ctx.Err())
		case <-time.After(lockEvery):
		}
		if time.Since(began) > lockPatience {
			return nil, fmt.Errorf("waited for %s: %w", lockPatience, taken)
		}
	}
}

// tryLock takes it at once, or gives an [*InUseError].
func tryLock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, unix.EWOULDBLOCK):
		err = &InUseError{Dir: dir, Holder: holder(f)}
	default:
		err = fmt.Errorf("locking state directory %s: %w", dir, err)
	}
	return nil, errors.Join(err, f.Close())
}

// holder says who has locked a file, as far as Linux tells (proc(5), /proc/locks).
func holder(f *os.File) string {
	const nobody = "nobody knows which"
	var st unix.Stat_t
	locks, err := os.Open("/proc/locks")
	if err != nil || unix.Fstat(int(f.Fd()), &st) != nil {
		return nobody
	}
	defer locks.Close()
	ours := fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), st.Ino)
	for s := bufio.NewScanner(locks); s.Scan(); {
		field := strings.Fields(s.Text()) // 1: FLOCK ADVISORY WRITE 123 08:01:4711 0 EOF
		if len(field) < 6 || field[1] != "FLOCK" || field[5] != ours {
			continue
		}
		who := "process " + field[4]
		if args, err := os.ReadFile("/proc/" + field[4] + "/cmdline"); err == nil && len(args) > 0 {
			who += fmt.Sprintf(" (%.120q)", bytes.ReplaceAll(bytes.TrimRight(args, "\x00"), []byte{0}, []byte{' '}))
		}
		return who
	}
	return nobody
}
