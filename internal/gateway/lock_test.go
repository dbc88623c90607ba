package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"bellwether/internal/processtest"
)

var starts = flag.Int("starts", 5, "how often the lock test starts a gateway while orders are given")

// lockInstead makes this test program a gateway, or one that gives an order.
const lockInstead = "BELLWETHER_TEST_LOCK"

// locker is the job of such a program.
type locker struct {
	State string
	Order *MemberOrder // nil: be a gateway until SIGTERM
}

func lockJob(job string) error {
	var j locker
	if err := json.Unmarshal([]byte(job), &j); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	if j.Order != nil {
		_, err := OrderMembers(ctx, j.State, *j.Order)
		return err
	}
	c := Config{State: j.State, Members: MembersConfig{Listen: "127.0.0.1:0", Address: "127.0.0.1:1"}}
	return Live{Config: c, Log: slog.New(slog.DiscardHandler)}.Run(ctx)
}

// start begins the job in a process of its own; wait gives what it said if it failed.
func (j locker) start(t *testing.T) (cmd *exec.Cmd, wait func() error) {
	t.Helper()
	spec, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	cmd = processtest.Again(t, lockInstead, string(spec))
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, func() error {
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("%w: %s", err, &said)
		}
		return nil
	}
}

// answers waits until a gateway answers.
func answers(t *testing.T, dir string) {
	t.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(5 * time.Millisecond) {
		if conn, err := dial(dir); err == nil {
			conn.Close()
			return
		}
	}
	t.Fatal("no gateway answers")
}

// TestOrdersWhileGatewaysStart starts and stops gateways while orders are given all
// the time, all of it in processes of their own: none fails, and every order is
// carried out once.
func TestOrdersWhileGatewaysStart(t *testing.T) {
	dir, _ := finished(t)
	before, err := OrderMembers(t.Context(), dir, MemberOrder{Do: DoRequests})
	if err != nil {
		t.Fatal(err)
	}
	var given atomic.Uint64
	var orders sync.WaitGroup
	ended := make(chan struct{})
	for range 2 {
		orders.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				_, wait := locker{dir, &MemberOrder{Do: DoEpoch, Note: "test"}}.start(t)
				if err := wait(); err != nil {
					t.Errorf("order %d: %v", given.Load(), err)
				}
				given.Add(1)
			}
		})
	}
	for n := range *starts {
		cmd, wait := locker{State: dir}.start(t)
		answers(t, dir)
		time.Sleep(rand.N(200 * time.Millisecond))
		if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := wait(); err != nil {
			t.Errorf("gateway %d: %v", n, err)
		}
	}
	close(ended)
	orders.Wait()
	after, err := OrderMembers(t.Context(), dir, MemberOrder{Do: DoRequests})
	if err != nil || after.Epoch != before.Epoch+given.Load() {
		t.Errorf("epoch %d and %d orders, then epoch %d: %v", before.Epoch, given.Load(), after.Epoch, err)
	}
	t.Logf("%d starts, %d orders", *starts, given.Load())
	verifies(t, dir)
}

// TestTwoGateways: a second one on the same directory says who is there, and a
// program that needs the directory does too.
func TestTwoGateways(t *testing.T) {
	dir, _ := finished(t)
	first, wait := locker{State: dir}.start(t)
	answers(t, dir)
	began := time.Now()
	_, second := locker{State: dir}.start(t)
	err := second()
	if who := fmt.Sprintf("process %d (", first.Process.Pid); err == nil || !strings.Contains(err.Error(), "a gateway runs there") || !strings.Contains(err.Error(), who) {
		t.Errorf("the second gateway: %v", err)
	}
	var taken *InUseError
	if _, err := VerifyState(t.Context(), dir, nil, nil); !errors.As(err, &taken) || !taken.Gateway {
		t.Errorf("verify: %v", err)
	}
	if waited := time.Since(began); waited >= lockPatience {
		t.Errorf("they waited for %s", waited)
	}
	if err := first.Process.Signal(unix.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := wait(); err != nil {
		t.Errorf("the first: %v", err)
	}
}

// TestDeadGateway: the socket of a gateway that was killed is nobody's.
func TestDeadGateway(t *testing.T) {
	dir, _ := finished(t)
	cmd, wait := locker{State: dir}.start(t)
	answers(t, dir)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if wait() == nil {
		t.Fatal("it was not killed")
	}
	if _, err := OrderMembers(t.Context(), dir, MemberOrder{Do: DoInvite}); err != nil {
		t.Error(err)
	}
}

// TestWaitingIsTold: who waits for another program is told so once, and by whom it is kept.
func TestWaitingIsTold(t *testing.T) {
	dir, _ := finished(t)
	lock, err := tryLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	var notices []string
	ctx := WithNotice(t.Context(), func(notice string) {
		notices = append(notices, notice)
		time.AfterFunc(5*lockEvery, func() { lock.Close() })
	})
	if _, err := OrderMembers(ctx, dir, MemberOrder{Do: DoRequests}); err != nil {
		t.Error(err)
	}
	if who := fmt.Sprintf("process %d (", os.Getpid()); len(notices) != 1 || !strings.Contains(notices[0], who) || !strings.Contains(notices[0], dir) {
		t.Errorf("it was told %q", notices)
	}
}
