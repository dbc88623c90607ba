package fabric

import (
	"context"
	"path"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"bellwether/internal/ledger/ledgertest"
)

// fault cuts the connection to the peer during one commit: before the peer can
// endorse, or right behind a submission that reached the orderers.
type fault struct {
	after func() // called once behind a submission when armed

	mu    sync.Mutex
	kind  ledgertest.Fault
	cut   bool
	armed chan struct{} // closed when after was called; nil: not armed
}

// arm has after called behind the next submission.
func (f *fault) arm() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = make(chan struct{})
}

// fired waits until after was called.
func (f *fault) fired(t testing.TB) {
	t.Helper()
	f.mu.Lock()
	armed := f.armed
	f.mu.Unlock()
	select {
	case <-armed:
	case <-time.After(calmPatience):
		t.Fatal("nothing was submitted")
	}
}

// behind calls after, once.
func (f *fault) behind() {
	f.mu.Lock()
	armed := f.armed
	if armed == nil {
		f.mu.Unlock()
		return
	}
	select {
	case <-armed:
		f.mu.Unlock()
		return
	default:
	}
	f.mu.Unlock()
	f.after()
	close(armed)
}

func (f *fault) set(kind ledgertest.Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kind, f.cut = kind, kind == ledgertest.FailLost
}

var errCut = status.Error(codes.Unavailable, "injected: the connection is cut")

// unary lets a call through or not.
func (f *fault) unary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	f.mu.Lock()
	cut := f.cut
	if f.kind == ledgertest.FailKept && path.Base(method) == "Submit" {
		f.cut = true
	}
	last := f.cut && !cut
	f.mu.Unlock()
	if cut {
		return errCut
	}
	err := invoke(ctx, method, req, reply, conn, opts...)
	if err == nil && path.Base(method) == "Submit" {
		f.behind()
	}
	if err != nil || !last {
		return err
	}
	return errCut
}

func (f *fault) stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cut {
		return nil, errCut
	}
	return open(ctx, desc, conn, method, opts...)
}

func (f *fault) options() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithUnaryInterceptor(f.unary), grpc.WithStreamInterceptor(f.stream)}
}

// The patience of a ledger under test, without and with a fault.
const (
	calmPatience  = 30 * time.Second
	faultPatience = 500 * time.Millisecond
)

// faulty is a ledger whose fault ends with the commit that it was set for.
type faulty struct {
	*Ledger
	fault *fault
}

func (l *faulty) Commit(ctx context.Context) error {
	l.fault.mu.Lock()
	pending := l.fault.kind != 0
	l.fault.mu.Unlock()
	if pending {
		l.Ledger.o.Patience = faultPatience
		defer func() { l.fault.set(0); l.Ledger.o.Patience = calmPatience }()
	}
	return l.Ledger.Commit(ctx)
}
