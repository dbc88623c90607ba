package fabric

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/ledgertest"
)

// slowStream waits before it gives a message, as long as its context lets it.
type slowStream struct {
	grpc.ClientStream
	wait time.Duration
}

func (s slowStream) RecvMsg(m any) error {
	select {
	case <-s.Context().Done():
	case <-time.After(s.wait):
	}
	return s.ClientStream.RecvMsg(m)
}

func slowly(wait time.Duration) []grpc.DialOption {
	return []grpc.DialOption{grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		s, err := open(ctx, desc, conn, method, opts...)
		return slowStream{s, wait}, err
	})}
}

// TestLongChannel: a copy that is made anew may take longer than the patience with
// the peer, as long as blocks come; when they do not, that is an error.
func TestLongChannel(t *testing.T) {
	t.Parallel()
	o := Options{Connection: connection(up(t, network.Options{}), 0), Patience: calmPatience}
	l := opened(t, t.TempDir(), ledgertest.Master(), o)
	txs := history(t, 30)
	for _, tx := range txs {
		submit(t, l, tx)
		commit(t, l)
	}
	o.Patience, o.dial = 5*time.Second, slowly(o.Patience/100)
	began := time.Now()
	want(t, opened(t, t.TempDir(), ledgertest.Master(), o), txs...)
	if took := time.Since(began); took < o.Patience {
		t.Errorf("it took %s: the test shows nothing", took)
	}
	o.Patience, o.dial = time.Second, slowly(time.Hour)
	if _, err := Open(t.Context(), t.TempDir(), ledgertest.Master(), o); err == nil || !strings.Contains(err.Error(), "stopped giving blocks") {
		t.Errorf("got %v", err)
	}
	o.Patience = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := Open(ctx, t.TempDir(), ledgertest.Master(), o); err == nil {
		t.Error("it does not end with its context")
	}
}
