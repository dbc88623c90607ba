package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"bellwether/internal/backup"
	"bellwether/internal/bus"
	"bellwether/internal/contract"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// backedUp makes a backup of dir with 3 shares, 2 of which open it.
func backedUp(t testing.TB, dir string, rows bool) *BackupReport {
	t.Helper()
	r, err := Backup(t.Context(), dir, BackupOptions{File: filepath.Join(t.TempDir(), "b"), Shares: 3, Threshold: 2, Store: rows, Now: homeStart})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// restored restores a backup with two of its shares.
func restored(t testing.TB, b *BackupReport) (dir string, r *RestoreReport) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "restored")
	r, err := Restore(t.Context(), RestoreOptions{File: b.File, Shares: b.Shares[1:], Dir: dir, Now: homeStart})
	if err != nil {
		t.Fatal(err)
	}
	return dir, r
}

// contents gives the files of a state directory that have bytes.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range stateFiles(t, dir) {
		all[name] = string(readFile(t, dir, name))
	}
	return all
}

// TestRestoredWithStore: every byte of every file is there again, and the zone goes
// on as if it had never been away.
func TestRestoredWithStore(t *testing.T) {
	dir, _ := finished(t)
	b := backedUp(t, dir, true)
	again, r := restored(t, b)
	if got, want := contents(t, again), contents(t, dir); len(got) != b.Files || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%d files, want %d, or with other bytes", len(got), len(want))
	}
	if r.Name != "zone" || !r.Store || r.ID != b.ID || r.Zone != b.Zone || r.Alerts != 1 || r.Anchor == "" || r.Made != homeStart.String() {
		t.Errorf("the report says %+v", r)
	}
	more := homeCaptures(t).watch
	goOn := func(dir string) result {
		return resultOf(t, dir, mustRun(t, Replay{StateDir: dir, Watch: []string{more}, Config: quickly()}))
	}
	same(t, goOn(again), goOn(dir))
	verifies(t, again)
}

// TestSharesOfSeveralBackups: a member prints all shares that it keeps, and each
// backup finds its own among them.
func TestSharesOfSeveralBackups(t *testing.T) {
	dir, _ := founded(t, "Home")
	all := []string{filepath.Join(t.TempDir(), "lamp"), filepath.Join(t.TempDir(), "door")}
	var made []*BackupReport
	for range 3 {
		b := backedUp(t, dir, false)
		made = append(made, b)
		for i, path := range all {
			share, err := os.ReadFile(b.Shares[i])
			if err != nil {
				t.Fatal(err)
			}
			kept, err := os.ReadFile(path)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, append(append(kept, share...), '\n'), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, b := range made {
		if _, err := Restore(t.Context(), RestoreOptions{File: b.File, Shares: all}); err != nil {
			t.Error(err)
		}
	}
	b := backedUp(t, dir, false)
	if _, err := Restore(t.Context(), RestoreOptions{File: b.File, Shares: all}); err == nil || !strings.Contains(err.Error(), "none of its 3 shares is of backup") {
		t.Errorf("a backup without a share: %v", err)
	}
}

// TestRestoredWithoutStore: key, ledger, models and alerts are there, the snapshots
// count as removed, and what was learned judges what comes.
func TestRestoredWithoutStore(t *testing.T) {
	dir, _ := finished(t)
	b := backedUp(t, dir, false)
	if whole := backedUp(t, dir, true); b.Bytes*2 > whole.Bytes {
		t.Errorf("without snapshots %d bytes, with them %d", b.Bytes, whole.Bytes)
	}
	again, _ := restored(t, b)
	verifies(t, again)
	want := contents(t, dir)
	for name, got := range contents(t, again) {
		if name != manifestName && got != want[name] {
			t.Errorf("%s has other bytes", name)
		}
		delete(want, name)
	}
	for name := range want {
		if !strings.HasSuffix(name, ".parquet") {
			t.Errorf("%s is missing", name)
		}
	}
	goOn := func(dir string) map[string]string {
		mustRun(t, Replay{StateDir: dir, Watch: []string{homeCaptures(t).watch}, Config: quickly()})
		return contents(t, dir)
	}
	got, want := goOn(again), goOn(dir)
	for name := range got { // the same rows, transactions and alerts as with the snapshots
		if name != manifestName && got[name] != want[name] {
			t.Errorf("%s becomes another", name)
		}
	}
	if before := b.Files; len(got) <= before {
		t.Errorf("%d files became %d: nothing was recorded", before, len(got))
	}
	verifies(t, again)
}

// TestBackupOfABusyZone: backups made while a replay writes are of one moment each:
// a restore finds nothing wrong, and the same replay, given there, comes to the
// same end.
func TestBackupOfABusyZone(t *testing.T) {
	c := homeCaptures(t)
	whole, report := finished(t)
	want := resultOf(t, whole, report)
	dir := keyedDir(t)
	done := make(chan error, 1)
	go func() {
		_, err := Replay{StateDir: dir, Learn: []string{c.learn}, Watch: []string{c.watch}, Config: quickly()}.Run(t.Context())
		done <- err
	}()
	heights := map[uint64]bool{}
	var newest string
	stranded := false
	for n := 0; ; { // n have been made
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			if len(heights) < 3 || newest == "" || !stranded {
				t.Fatalf("backups of %d moments only", len(heights))
			}
			again := mustRun(t, Replay{StateDir: newest, Learn: []string{c.learn}, Watch: []string{c.watch}, Config: quickly()})
			same(t, resultOf(t, newest, again), want)
			return
		default:
		}
		at := filepath.Join(t.TempDir(), "b")
		b, err := Backup(t.Context(), dir, BackupOptions{File: at, Shares: 2, Threshold: 2, Store: n%2 == 0})
		if err != nil {
			if len(heights) == 0 { // there is no whole zone yet
				continue
			}
			t.Fatal(err)
		}
		n++
		to := at + ".state"
		r, err := Restore(t.Context(), RestoreOptions{File: at, Shares: b.Shares, Dir: to})
		if err != nil {
			t.Fatalf("backup %d: %v", n, err)
		}
		if r.Stranded && r.Store {
			t.Error("a replay that can go on is said to be stranded")
		}
		stranded = stranded || r.Stranded
		heights[r.Blocks] = true
		if n%2 == 1 && n < 20 {
			newest = to
		}
	}
}

// TestRetentionDuringABackup: segments that retention takes while they are copied
// are none that the copy needs, and new ones are in it.
func TestRetentionDuringABackup(t *testing.T) {
	dir, _ := finished(t)
	var out bytes.Buffer
	key := backup.NewKey()
	s := mustOpen(t, dir, StateOptions{Existing: true, MaxBytes: 1})
	defer s.Close()
	w, err := backup.NewWriter(&out, key, backup.Info{Zone: s.Zone.ID.String(), Store: true})
	if err != nil {
		t.Fatal(err)
	}
	c := &copying{ctx: t.Context(), dir: dir, to: w, done: map[string]bool{}}
	first := "segment-00000001.parquet"
	if err := c.folder(storeDir, func(name string) bool { return name == first }); err != nil {
		t.Fatal(err)
	}
	if gone, err := s.Store.Retain(homeStart); err != nil || len(gone) == 0 {
		t.Fatalf("%d segments were removed, %v", len(gone), err)
	}
	if err := errors.Join(c.state(true), w.Close()); err != nil {
		t.Fatal(err)
	}
	shares, err := backup.Split(key, s.Zone.ID, w.ID(), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	b := &BackupReport{File: filepath.Join(t.TempDir(), "b")}
	b.Shares = []string{"", b.File + ".share-1"}
	for name, text := range map[string]string{b.File: out.String(), b.Shares[1]: shares[0].Encode()} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again, _ := restored(t, b)
	if _, err := os.Stat(filepath.Join(again, storeDir, first)); err == nil {
		t.Error("a removed segment came back")
	}
	if _, r := again, verifies(t, again); r.Segments == 0 {
		t.Error("no segments")
	}
}

// renewing gives orders that only fill the desk's journal until it was written anew.
func renewing(t *testing.T, dir string, order func(MemberOrder) error) {
	t.Helper()
	path := filepath.Join(dir, memberDir, bus.DeskFile)
	before, err := os.Stat(path)
	if err != nil {
		t.Error(err)
		return
	}
	for range 2000 {
		if err := errors.Join(order(MemberOrder{Do: DoInvite}), order(MemberOrder{Do: DoTakeBack})); err != nil {
			t.Error(err)
			return
		}
		if now, err := os.Stat(path); err != nil || !os.SameFile(before, now) {
			return
		}
	}
	t.Error("the journal was not written anew")
}

// TestRenewedDuringABackup: a journal that gets another file between the moment and
// the copy is in the backup as it was.
func TestRenewedDuringABackup(t *testing.T) {
	dir, _ := finished(t)
	s := mustOpen(t, dir, StateOptions{Existing: true})
	defer s.Close()
	members, err := s.openMembership(0)
	if err != nil {
		t.Fatal(err)
	}
	defer members.close()
	order := func(o MemberOrder) error {
		_, err := members.carryOut(t.Context(), o, time.Now())
		return err
	}
	if err := members.desk.SetAddress("zone.example:1"); err != nil {
		t.Fatal(err)
	}
	for range 20 { // codes that a journal written anew does not have
		if err := order(MemberOrder{Do: DoInvite}); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	key := backup.NewKey()
	w, err := backup.NewWriter(&out, key, backup.Info{Zone: s.Zone.ID.String()})
	if err != nil {
		t.Fatal(err)
	}
	m, err := momentOf(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	name := memberDir + "/" + bus.DeskFile
	want := string(readFile(t, dir, name))
	renewing(t, dir, order)
	c := &copying{ctx: t.Context(), dir: dir, to: w, done: map[string]bool{}}
	if err := errors.Join(c.copy(m, false), w.Close()); err != nil {
		t.Fatal(err)
	}
	if got := backedUpFiles(t, out.Bytes(), key, s.Zone.ID)[name]; got != want {
		t.Errorf("the backup has %d other bytes, want the %d that were there", len(got), len(want))
	}
}

// backedUpFiles gives the files in a backup.
func backedUpFiles(t *testing.T, raw []byte, key backup.Key, z zone.Hash) map[string]string {
	t.Helper()
	r, err := backup.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	shares, err := backup.Split(key, z, r.ID(), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Open(shares); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for {
		name, _, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		b, readErr := io.ReadAll(r)
		if err := errors.Join(err, readErr); err != nil {
			t.Fatal(err)
		}
		files[name] = string(b)
	}
}

// TestBackupsWhileJournalsAreRenewed makes backups of a running gateway whose desk is
// written anew all the time: each restores to a zone in which nothing is wrong, and
// whose desk knows what it knew.
func TestBackupsWhileJournalsAreRenewed(t *testing.T) {
	dir, _ := finished(t)
	cmd, wait := locker{State: dir}.start(t)
	answers(t, dir)
	ctx, stop := context.WithCancel(t.Context())
	var renewed atomic.Int32
	var orders sync.WaitGroup
	defer orders.Wait()
	defer stop()
	orders.Go(func() {
		for ; ctx.Err() == nil; renewed.Add(1) {
			renewing(t, dir, func(o MemberOrder) error {
				_, err := OrderMembers(t.Context(), dir, o)
				return err
			})
		}
	})
	made := 0
	for began := time.Now(); (made < 6 || renewed.Load() < 4) && time.Since(began) < 5*time.Minute && !t.Failed(); made++ {
		again, _ := restored(t, backedUp(t, dir, made%2 == 0))
		verifies(t, again)
		a, err := OrderMembers(t.Context(), again, MemberOrder{Do: DoInvite})
		if err != nil {
			t.Error(err)
			continue
		}
		if i, err := message.ParseInvite(a.Invite); err != nil || i.Address != "127.0.0.1:1" || a.Invites != 1 {
			t.Errorf("backup %d: %d invites, %+v, %v", made, a.Invites, i, err)
		}
	}
	stop()
	orders.Wait()
	if err := errors.Join(cmd.Process.Signal(unix.SIGTERM), wait()); err != nil {
		t.Error(err)
	}
	if made < 6 || renewed.Load() < 4 {
		t.Errorf("%d backups, %d renewals", made, renewed.Load())
	}
	t.Logf("%d backups, %d renewals", made, renewed.Load())
	verifies(t, dir)
}

func TestBackupRefused(t *testing.T) {
	dir, _ := finished(t)
	taken := filepath.Join(t.TempDir(), "b")
	for _, name := range []string{taken, taken + "2.share-2"} {
		if err := os.WriteFile(name, []byte("dear"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cut, _ := finished(t)
	if err := os.Remove(filepath.Join(cut, leaseFile)); err != nil {
		t.Fatal(err)
	}
	begun, _ := finished(t)
	if err := os.Truncate(filepath.Join(begun, runFile), 5); err != nil {
		t.Fatal(err)
	}
	broken, _ := finished(t)
	blocks := readFile(t, broken, ledgerDir, "blocks.log")
	blocks[len(blocks)/2] ^= 1
	if err := os.WriteFile(filepath.Join(broken, ledgerDir, "blocks.log"), blocks, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ dir, file, want string }{
		{dir, taken, "b is there already"},
		{dir, taken + "2", "b2.share-2 is there already"},
		{t.TempDir(), taken + "3", "is not a state directory"},
		{cut, taken + "4", "leases.log is missing"},
		{begun, taken + "5", "runs.log was not begun yet"},
		{broken, taken + "6", "damaged in record"},
		{dir, filepath.Join(taken, "b"), "b"},
	} {
		_, err := Backup(t.Context(), x.dir, BackupOptions{File: x.file, Shares: 3, Threshold: 2})
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("got %v, want %q", err, x.want)
		}
	}
	if left, _ := os.ReadDir(filepath.Dir(taken)); len(left) != 2 {
		t.Errorf("the refused backups left %v", left)
	}
}

// TestBackupOfATornJournal: what a crash left unfinished is not in the copy.
func TestBackupOfATornJournal(t *testing.T) {
	dir, _ := finished(t)
	want := readFile(t, dir, alertFile)
	f, err := os.OpenFile(filepath.Join(dir, alertFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("BJR\x01\x00"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	again, _ := restored(t, backedUp(t, dir, false))
	if got := readFile(t, again, alertFile); !bytes.Equal(got, want) {
		t.Errorf("%d bytes of alerts, want %d", len(got), len(want))
	}
}

func TestRestoreRefused(t *testing.T) {
	dir, _ := finished(t)
	b, other := backedUp(t, dir, false), backedUp(t, dir, false)
	raw := readFile(t, b.File)
	file := func(name string, content []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	changed := func(at int) string {
		bad := bytes.Clone(raw)
		bad[at] ^= 4
		return file("changed", bad)
	}
	text := string(readFile(t, b.Shares[0]))
	line := strings.Index(text, "\n3 ") + 3
	mistyped := file("mistyped", []byte(text[:line]+map[bool]string{true: "8", false: "7"}[text[line] == '7']+text[line+1:]))
	good := b.Shares[:2]
	there := t.TempDir()
	for _, x := range []struct {
		name, file string
		shares     []string
		dir, want  string
	}{
		{"truncated", file("cut", raw[:len(raw)/2]), good, "", "damaged"},
		{"cut in the beginning", file("cut", raw[:60]), good, "", "not a backup"},
		{"no backup", file("letter", []byte("dear mother")), good, "", "not a backup"},
		{"a byte of the beginning", changed(50), good, "", "of another backup"},
		{"a byte in the middle", changed(len(raw) / 2), good, "", "damaged"},
		{"the last byte", changed(len(raw) - 1), good, "", "damaged"},
		{"shares of another backup", b.File, other.Shares, "", "is of another backup: this is " + b.ID.String()},
		{"one share of another backup", b.File, []string{b.Shares[0], other.Shares[1]}, "", "share 2 of 3"},
		{"too few", b.File, b.Shares[:1], "", "2 are needed: 1 more"},
		{"none", b.File, nil, "", "no share"},
		{"the same twice", b.File, []string{b.Shares[2], b.Shares[2]}, "", "share 3 is given twice"},
		{"a typo", b.File, []string{mistyped, b.Shares[1]}, "", "mistyped: line 3 does not match its check"},
		{"no share's file", b.File, []string{b.Shares[1], dir + "/none"}, "", "none"},
		{"no backup's file", dir + "/none", good, "", "none"},
		{"a directory that is there", b.File, good, there, "is there already"},
	} {
		to := x.dir
		if to == "" {
			to = filepath.Join(t.TempDir(), "new")
		}
		_, err := Restore(t.Context(), RestoreOptions{File: x.file, Shares: x.shares, Dir: to})
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want %q", x.name, err, x.want)
		}
		if left, _ := filepath.Glob(filepath.Dir(to) + "/new*"); x.dir == "" && len(left) > 0 {
			t.Errorf("%s: it left %q", x.name, left)
		}
	}
}

// sealed makes a backup of any files, one share of which opens it.
func sealed(t *testing.T, info backup.Info, files map[string]string) RestoreOptions {
	t.Helper()
	var out bytes.Buffer
	key := backup.NewKey()
	w, err := backup.NewWriter(&out, key, info)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := w.Add(name, int64(len(text)), strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	shares, err := backup.Split(key, [32]byte{}, w.ID(), 1, 1)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	o := RestoreOptions{File: filepath.Join(t.TempDir(), "b"), Dir: filepath.Join(t.TempDir(), "new")}
	o.Shares = []string{o.File + ".share-1"}
	if err := errors.Join(os.WriteFile(o.File, out.Bytes(), 0o600), os.WriteFile(o.Shares[0], []byte(shares[0].Encode()), 0o600)); err != nil {
		t.Fatal(err)
	}
	return o
}

// TestHostileBackup: a backup whose shares fit and whose contents do not is refused
// as well, and nothing stays.
func TestHostileBackup(t *testing.T) {
	dir, _ := finished(t)
	id := backedUp(t, dir, false).Zone.String()
	for name, x := range map[string]struct {
		change func(files map[string]string, info *backup.Info)
		want   string
	}{
		"a strange file":   {func(f map[string]string, _ *backup.Info) { f["cron.d/root"] = "x" }, "is no file of a state directory"},
		"the lock":         {func(f map[string]string, _ *backup.Info) { f["lock"] = "x" }, "is no file of a state directory"},
		"a segment":        {func(f map[string]string, _ *backup.Info) { f["store/segment-00000009.parquet"] = "x" }, "is no file of a state directory"},
		"another version":  {func(f map[string]string, _ *backup.Info) { f[formatFile] = "bellwether state 2\n" }, "this program reads"},
		"no key":           {func(f map[string]string, _ *backup.Info) { delete(f, keyFile) }, "master.key"},
		"no ledger":        {func(f map[string]string, _ *backup.Info) { delete(f, "ledger/blocks.log") }, "blocks.log"},
		"no alerts":        {func(f map[string]string, _ *backup.Info) { delete(f, alertFile) }, "alerts"},
		"another zone":     {func(_ map[string]string, i *backup.Info) { i.Zone = zone.Hash{1}.String() }, "zone"},
		"a changed model":  {func(f map[string]string, _ *backup.Info) { changeOne(f, ".model") }, "model"},
		"a changed ledger": {func(f map[string]string, _ *backup.Info) { changeOne(f, "blocks.log") }, "ledger"},
	} {
		files := contents(t, dir)
		for f := range files {
			if strings.HasSuffix(f, ".parquet") {
				delete(files, f)
			}
		}
		info := backup.Info{Zone: id}
		x.change(files, &info)
		o := sealed(t, info, files)
		if _, err := Restore(t.Context(), o); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want %q", name, err, x.want)
		}
		if left, _ := filepath.Glob(o.Dir + "*"); len(left) > 0 {
			t.Errorf("%s: it left %q", name, left)
		}
	}
}

// changeOne changes a byte in the middle of a file.
func changeOne(files map[string]string, suffix string) {
	for name, text := range files {
		if strings.HasSuffix(name, suffix) {
			b := []byte(text)
			b[len(b)/2] ^= 1
			files[name] = string(b)
			return
		}
	}
}

func TestDrillKeepsNothing(t *testing.T) {
	dir, _ := finished(t)
	b := backedUp(t, dir, true)
	t.Setenv("TMPDIR", t.TempDir())
	r, err := Restore(t.Context(), RestoreOptions{File: b.File, Shares: b.Shares[:2]})
	if err != nil || !r.Drill || r.Blocks == 0 || r.Segments == 0 || r.Seconds <= 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("it left %v (%v)", left, err)
	}
}

// TestAllOfAStateDirectoryIsBackedUp: whatever may be in a state directory is in a
// backup, but for what a process makes while it runs.
func TestAllOfAStateDirectoryIsBackedUp(t *testing.T) {
	dir, _ := finished(t)
	for _, name := range stateFiles(t, dir) {
		folder, base := filepath.Split(name)
		if !slices.Contains(inBackup(), name) && folder != storeDir+"/" && !(folder == modelDir+"/" && isModelFile(base)) {
			t.Errorf("%s would not be backed up", name)
		}
	}
	want := []string{"FORMAT", "alerts.log", "leases.log", "ledger/blocks.log", "ledger/connection.log", "ledger/fabric.log", "ledger/outbox",
		"master.key", "members/cursors.log", "members/desk.log", "members/objects.log", "members/tls.pem", "mud.log", "runs.log", "store/manifest", "trials.log"}
	if got := inBackup(); !slices.Equal(got, want) {
		t.Errorf("a backup holds %q, want %q: say in docs/format/backup.md and here what a new file is", got, want)
	}
}

// TestForkIsProven: after a restore the old master and the new one both go on. A
// head of either shows it on the other's ledger, with two signed heads of one
// size; a head of before does not.
func TestForkIsProven(t *testing.T) {
	old, _ := finished(t)
	head := func(dir string) []byte {
		t.Helper()
		var raw []byte
		withReadOnly(t, dir, func(s *State) (err error) { raw, err = s.Head(t.Context()); return err })
		return raw
	}
	compare := func(dir string, head []byte) (ours []byte, err error) {
		t.Helper()
		withReadOnly(t, dir, func(s *State) error { _, ours, err = s.CompareHead(t.Context(), head); return nil })
		return ours, err
	}
	before := head(old)
	again, _ := restored(t, backedUp(t, old, false))
	decide := func(dir, note string) {
		t.Helper()
		d := Decision{Action: contract.ActionSilence, For: time.Hour, Note: note, Now: homeStart.Add(48 * time.Hour)}
		if _, err := Decide(t.Context(), dir, zone.MAC{}, d); err != nil {
			t.Fatal(err)
		}
	}
	decide(old, "by the old master")
	if _, err := compare(again, head(old)); !errors.Is(err, ErrBehind) {
		t.Errorf("the restored ledger lacks a block: %v", err)
	}
	decide(again, "by the new master")
	ours, err := compare(again, head(old))
	if !errors.Is(err, ErrFork) || !bytes.Equal(ours, head(again)) || bytes.Equal(ours, head(old)) {
		t.Errorf("two masters: %v, and as the ledger's own head %s", err, ours)
	}
	for _, dir := range []string{old, again} {
		if _, err := compare(dir, before); err != nil {
			t.Errorf("a head of before: %v", err)
		}
	}
	stranger, _ := founded(t, "other")
	for name, raw := range map[string][]byte{"of another zone": head(stranger), "changed": bytes.Replace(before, []byte("\n"), []byte("\n1"), 1), "empty": nil} {
		if _, err := compare(old, raw); err == nil || !strings.Contains(err.Error(), "not a head of zone") {
			t.Errorf("a head %s: %v", name, err)
		}
	}
}

func withReadOnly(t *testing.T, dir string, f func(*State) error) {
	t.Helper()
	s := mustOpen(t, dir, StateOptions{ReadOnly: true})
	if err := errors.Join(f(s), s.Close()); err != nil {
		t.Fatal(err)
	}
}

// founded makes a zone in a directory of its own.
func founded(t *testing.T, name string) (dir string, id zone.Hash) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "state")
	s, _, err := FoundZone(t.Context(), dir, Identity{Name: name, UseCase: "school", Created: homeStart})
	if err != nil {
		t.Fatal(err)
	}
	id = s.Zone.ID
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, id
}

func TestFoundZone(t *testing.T) {
	dir, id := founded(t, "home")
	verifies(t, dir)
	later := Identity{Name: "home", UseCase: "school", Created: homeStart.Add(time.Hour)}
	s, again, err := FoundZone(t.Context(), dir, later)
	if err != nil || !again || s.Zone.ID != id {
		t.Fatalf("the same again: %v, %v", again, err)
	}
	o, err := s.Overview(t.Context())
	if err != nil || o.Name != "home" || o.UseCase != "school" || o.ID != id || o.Height != 1 || o.Created != homeStart.String() || len(o.Devices) != 0 {
		t.Errorf("%+v, %v", o, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	used, _ := finished(t)
	for name, x := range map[string]struct {
		dir  string
		id   Identity
		want string
	}{
		"another name":        {dir, Identity{"office", "school", homeStart}, "there is a zone already in"},
		"another use case":    {dir, Identity{"home", "grid", homeStart}, "there is a zone already in"},
		"a zone with a past":  {used, Identity{"zone", "smart-home", homeStart}, "there is a zone already in"},
		"no such use case":    {filepath.Join(t.TempDir(), "s"), Identity{"home", "ship", homeStart}, `"ship" is not known`},
		"no name":             {filepath.Join(t.TempDir(), "s"), Identity{"", "school", homeStart}, "name of 0 bytes"},
		"a name with newline": {filepath.Join(t.TempDir(), "s"), Identity{"a\nb", "school", homeStart}, "not printable"},
		"a file":              {filepath.Join(dir, keyFile), Identity{"home", "school", homeStart}, "master.key"},
	} {
		before, _ := os.ReadDir(x.dir)
		if _, _, err := FoundZone(t.Context(), x.dir, x.id); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want %q", name, err, x.want)
		}
		if after, _ := os.ReadDir(x.dir); len(after) != len(before) {
			t.Errorf("%s: %d files became %d", name, len(before), len(after))
		}
	}
	mustRun(t, whole(t, dir))
	verifies(t, dir)
}

// zoneInstead makes this test program found, back up or restore a zone.
const zoneInstead = "BELLWETHER_TEST_ZONE"

// zoneWork is what it does then: exactly one of these.
type zoneWork struct {
	Found   string // a directory
	Backup  *BackupOptions
	Of      string // the directory that is backed up
	Restore *RestoreOptions
}

func zoneJob(spec string) error {
	var w zoneWork
	if err := json.Unmarshal([]byte(spec), &w); err != nil {
		return err
	}
	switch {
	case w.Backup != nil:
		_, err := Backup(context.Background(), w.Of, *w.Backup)
		return err
	case w.Restore != nil:
		_, err := Restore(context.Background(), *w.Restore)
		return err
	}
	s, _, err := FoundZone(context.Background(), w.Found, Identity{Name: "home", UseCase: "school", Created: zone.TimeOf(time.Now())})
	if err != nil {
		return err
	}
	return s.Close()
}

// killedDuring does work in a process that is killed after a while, and reports
// whether it was done by then.
func (w zoneWork) killedDuring(t *testing.T, while time.Duration) bool {
	t.Helper()
	return killedAfter(t, while, zoneInstead, w, nil)
}

// killedAtRandom calls try with random times up to that of work which nobody kills, and says
// in how many it was not done.
func killedAtRandom(t *testing.T, work zoneWork, try func(n int, while time.Duration) (done bool)) {
	t.Helper()
	began := time.Now()
	if !work.killedDuring(t, time.Hour) {
		t.Fatal("nobody killed it, and it was not done")
	}
	whole := time.Since(began)
	noise := rand.New(rand.NewPCG(uint64(*kills), 31))
	killed := 0
	for n := range *kills {
		if !try(n, time.Duration(noise.Int64N(int64(whole)))) {
			killed++
		}
	}
	t.Logf("%d of %d were killed before their end, in up to %s", killed, *kills, whole)
}

// TestKilledBackup: a backup that has its name can be restored with its shares.
func TestKilledBackup(t *testing.T) {
	dir, _ := finished(t)
	work := func(at string) zoneWork {
		return zoneWork{Of: dir, Backup: &BackupOptions{File: at, Shares: 3, Threshold: 2, Store: true}}
	}
	there := func(at string) bool {
		_, err := os.Stat(at)
		if errors.Is(err, fs.ErrNotExist) {
			return false
		}
		shares := []string{at + ".share-1", at + ".share-3"}
		if _, err := Restore(t.Context(), RestoreOptions{File: at, Shares: shares}); err != nil {
			t.Error(err)
		}
		return true
	}
	killedAtRandom(t, work(filepath.Join(t.TempDir(), "b")), func(_ int, while time.Duration) bool {
		at := filepath.Join(t.TempDir(), "b")
		done := work(at).killedDuring(t, while)
		if made := there(at); done && !made {
			t.Errorf("killed after %s: it was done, and there is no backup", while)
		}
		return done
	})
}

// TestKilledRestore: the directory is there whole or not at all, and the same
// restore, given again, makes it.
func TestKilledRestore(t *testing.T) {
	dir, _ := finished(t)
	b := backedUp(t, dir, true)
	want := contents(t, dir)
	work := func(to string) zoneWork {
		return zoneWork{Restore: &RestoreOptions{File: b.File, Shares: b.Shares[:2], Dir: to}}
	}
	whole := func(to string) {
		t.Helper()
		if got := contents(t, to); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%d files with other bytes", len(got))
		}
	}
	killedAtRandom(t, work(filepath.Join(t.TempDir(), "new")), func(_ int, while time.Duration) bool {
		to := filepath.Join(t.TempDir(), "new")
		done := work(to).killedDuring(t, while)
		if _, err := os.Stat(to); err == nil {
			whole(to)
			return done
		}
		if done {
			t.Errorf("killed after %s: it was done, and there is no directory", while)
		}
		if !work(to).killedDuring(t, time.Hour) {
			t.Error("given again it was not done")
		}
		whole(to)
		if left, _ := filepath.Glob(to + "*"); len(left) != 1 {
			t.Errorf("beside it: %q", left)
		}
		return done
	})
}

// TestKilledFoundZone: the same call, given again, completes what was killed.
func TestKilledFoundZone(t *testing.T) {
	killedAtRandom(t, zoneWork{Found: filepath.Join(t.TempDir(), "s")}, func(_ int, while time.Duration) bool {
		w := zoneWork{Found: filepath.Join(t.TempDir(), "s")}
		done := w.killedDuring(t, while)
		id := zone.Hash{}
		if done {
			withReadOnly(t, w.Found, func(s *State) error { id = s.Zone.ID; return nil })
		}
		if !w.killedDuring(t, time.Hour) {
			t.Error("given again it was not done")
		}
		withReadOnly(t, w.Found, func(s *State) error {
			if done && s.Zone.ID != id {
				t.Errorf("zone %s became %s", id, s.Zone.ID)
			}
			return nil
		})
		verifies(t, w.Found)
		return done
	})
}
