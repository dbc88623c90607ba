package bus

import (
	"container/list"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"crypto/tls"
)

// The bounds of connections without proof.
const (
	maxGuests  = 1024
	guestFor   = 15 * time.Second       // to prove who it is
	silentFor  = 250 * time.Millisecond // a guest that said nothing gives way after that
	patience   = 2 * time.Second        // and any other after that
	headerSize = 8 << 10
)

// gate is a listener with a bounded number of guests: connections that have not
// proved whose they are. When there are too many, one of the address that has the
// most gives way, its oldest, unless that is too young: then newcomers wait.
type gate struct {
	net.Listener

	mu      sync.Mutex // guards what follows
	guests  map[netip.Prefix]*list.List
	count   int
	evicted int64
}

// guest is such a connection. It is no guest any more once it is admitted.
type guest struct {
	net.Conn
	gate  *gate
	from  netip.Prefix
	born  time.Time
	spoke atomic.Bool
	timer *time.Timer
	place *list.Element // guarded by the gate's lock; nil: it is no guest
}

func newGate(l net.Listener) *gate { return &gate{Listener: l, guests: map[netip.Prefix]*list.List{}} }

// Accept gives the next connection, once there is a place for it.
func (g *gate) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	v := &guest{Conn: c, gate: g, from: prefixOf(c.RemoteAddr()), born: time.Now()}
	for !g.room() {
		time.Sleep(5 * time.Millisecond)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.guests[v.from] == nil {
		g.guests[v.from] = list.New()
	}
	v.place = g.guests[v.from].PushBack(v)
	g.count++
	v.timer = time.AfterFunc(guestFor, func() { v.Close() })
	return v, nil
}

// prefixOf is what counts as one address: of IPv6 the network.
func prefixOf(a net.Addr) netip.Prefix {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	return networkOf(t.AddrPort().Addr())
}

func networkOf(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap()
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits)
	return p
}

// room reports whether there is a place, and makes one if somebody can give way.
func (g *gate) room() bool {
	g.mu.Lock()
	if g.count < maxGuests {
		g.mu.Unlock()
		return true
	}
	var most *list.List
	for _, l := range g.guests {
		if most == nil || l.Len() > most.Len() {
			most = l
		}
	}
	var goes *guest
	now := time.Now()
	for e := most.Front(); e != nil && goes == nil; e = e.Next() {
		v := e.Value.(*guest)
		age := now.Sub(v.born)
		if age < silentFor {
			break
		}
		if !v.spoke.Load() || age >= patience {
			goes = v
		}
	}
	if goes != nil {
		g.evicted++
	}
	g.mu.Unlock()
	if goes == nil {
		return false
	}
	goes.Close()
	return true
}

// Read notes that the guest said something.
func (v *guest) Read(b []byte) (int, error) {
	n, err := v.Conn.Read(b)
	if n > 0 && !v.spoke.Load() {
		v.spoke.Store(true)
	}
	return n, err
}

func (v *guest) Close() error {
	v.admit()
	return v.Conn.Close()
}

// admit ends being a guest.
func (v *guest) admit() {
	v.gate.mu.Lock()
	defer v.gate.mu.Unlock()
	if v.place == nil {
		return
	}
	l := v.gate.guests[v.from]
	l.Remove(v.place)
	if l.Len() == 0 {
		delete(v.gate.guests, v.from)
	}
	v.place = nil
	v.gate.count--
	v.timer.Stop()
}

// serve takes connections until ctx ends, and then ends every session.
func (h *Hub) serve(ctx context.Context, l net.Listener) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	server := &http.Server{
		Handler: h, ConnContext: withLink, BaseContext: func(net.Listener) context.Context { return ctx }, Protocols: protocols,
		ReadHeaderTimeout: guestFor, IdleTimeout: guestFor, MaxHeaderBytes: headerSize, // ReadHeaderTimeout is the TLS handshake's too
		ErrorLog: slog.NewLogLogger(h.o.Log.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(tls.NewListener(newGate(l), h.tls.config())) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
	}
	h.mu.Lock()
	h.closed = true
	for s := range h.sessions {
		s.end(byeStopped)
	}
	h.mu.Unlock()
	err = errors.Join(err, server.Close())
	h.talks.Wait()
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
