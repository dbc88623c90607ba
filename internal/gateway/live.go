package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"bellwether/internal/bus"
	"bellwether/internal/capture"
	"bellwether/internal/monitor"
	"bellwether/internal/packet"
	"bellwether/internal/roster"
	"bellwether/internal/zone"
)

// ExampleConfig is a configuration to start from.
const ExampleConfig = `# Bellwether's configuration. What is left out takes its default.
state: /var/lib/bellwether
interface: wlan0              # on the zone's side
zone:
  name: Home
  use_case: smart-home        # or health-care, school, grid
# subnets: [192.168.4.0/24]   # the zone's side; default: those of the interface
# gateways: [dc:a6:32:ce:31:63]
devices:
  # names: names.csv          # columns "MAC Address,Device Name"
  max: 512
learn:
  snapshots: 2000             # a device is learned from at least so many packets
  for: 24h                    # and for at least so long
detector:
  adapt: ask                  # auto: a model follows a slow change by itself, within bounds
store:
  max_age: 720h
  max_bytes: 4GiB
ledger:
  driver: embedded            # or fabric, see docs/fabric.md
  block_txs: 100
  block_age: 10s
# members:                    # devices that speak, see docs/members.md
#   listen: ":8443"
#   address: gateway.lan:8443 # as invites show it
#   rate: 4MiB                # that one member may hand in each second
#   messages: 100             # likewise; ten times as many at once
#   keep_max: 1GiB            # contents of messages
# alerts:
#   file: /var/log/bellwether/eve.json
`

// ValidateLive reports what a live gateway lacks in a configuration.
func (c Config) ValidateLive() error {
	var errs []error
	if c.State == "" {
		errs = append(errs, errors.New("state is missing: want a directory like /var/lib/bellwether"))
	}
	if c.Interface == "" && c.Members.Listen == "" {
		errs = append(errs, errors.New("interface is missing: want the network interface on the zone's side, or members.listen to serve members alone"))
	}
	if _, err := c.rosterOptions(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, c.Validate())...)
}

// Live watches a network interface, serves the zone's members, or both.
type Live struct {
	Config Config
	Events Events
	Log    *slog.Logger
}

// watching is a Live under way. Its packet loop is the only user of monitor.
type watching struct {
	Live
	state   *State
	source  *capture.Live // nil: no interface is watched, members alone are heard
	monitor *monitor.Monitor
	writer  *writer // to the ledger, the monitor's
	members *membership
	roster  *roster.Roster
	heard   chan bus.Heard // of members, on its way to the monitor
	missed  atomic.Uint64  // of them, for want of room
	next    capture.Frame
	packet  packet.Packet
	ticked  time.Time
	told    time.Time
	stats   capture.LiveStats
	asked   chan request // from the control socket
	index   int          // of the interface
}

// What is kept of snapshots unless the configuration says otherwise.
const (
	keepFor   = 30 * 24 * time.Hour
	keepBytes = 4 << 30
)

// How often the packet loop looks at the clock's work: open blocks and
// segments, and what it tells of itself.
const (
	tickEvery = time.Second
	tellEvery = time.Minute
)

// Run watches until ctx ends, then stores what was observed and returns nil.
func (l Live) Run(ctx context.Context) error {
	if err := l.Config.ValidateLive(); err != nil {
		return err
	}
	w := &watching{Live: l, asked: make(chan request), heard: make(chan bus.Heard, heardQueue)}
	if err := w.open(ctx); err != nil {
		return unlessStopped(errors.Join(err, w.close()))
	}
	w.writer = newWriter(w.state.Ledger)
	writes := make(chan struct{})
	go func() { w.writer.Run(); close(writes) }()
	work, ctx := errgroup.WithContext(ctx)
	err := w.start(ctx, work)
	if err != nil {
		work.Go(func() error { return err })
	}
	err = work.Wait()
	w.writer.end()
	<-writes
	return unlessStopped(errors.Join(err, w.close()))
}

// unlessStopped is nil for what a gateway ends with that was told to.
func unlessStopped(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// open opens the interface, if one is to be watched, and the state directory.
func (w *watching) open(ctx context.Context) (err error) {
	if w.Config.Interface != "" {
		if w.source, err = capture.OpenLive(w.Config.Interface, capture.LiveOptions{Promiscuous: w.Config.Promiscuous}); err != nil {
			return err
		}
	}
	o := w.Config.stateOptions()
	o.Identity.Created, o.Log = zone.TimeOf(time.Now()), w.Log
	o.MaxAge, o.MaxBytes = cmp.Or(o.MaxAge, keepFor), cmp.Or(o.MaxBytes, keepBytes)
	if w.Config.Members.Listen != "" {
		o.BlockTxs = cmp.Or(o.BlockTxs, memberBlockTxs)
		hub := w.Config.Members.options(w.Log, w.hears)
		o.Hub = &hub
	}
	if w.state, err = OpenState(ctx, w.Config.State, o); err != nil {
		return err
	}
	w.members, err = w.state.openMembership(uint64(cmp.Or(w.Config.Members.TicketBlocks, bus.Lifetime)))
	return err
}

func (w *watching) close() error {
	var errs []error
	if w.source != nil {
		errs = append(errs, w.source.Close())
	}
	if w.members != nil {
		errs = append(errs, w.members.close())
	}
	if w.state != nil {
		errs = append(errs, w.state.Close())
	}
	return errors.Join(errs...)
}

// start starts what runs until ctx ends.
func (w *watching) start(ctx context.Context, work *errgroup.Group) error {
	if err := w.begin(ctx, work); err != nil {
		return err
	}
	if w.Config.Members.Listen != "" {
		l, err := w.members.openHub(ctx, w.Config.Members)
		if err != nil {
			return err
		}
		w.Log.Info("serving members", "listen", l.Addr(), "address", w.members.desk.Address())
		work.Go(func() error { return w.members.hub.Run(ctx, l) })
	}
	work.Go(func() error { return w.loop(ctx) })
	if w.source != nil {
		work.Go(func() error {
			<-ctx.Done()
			return w.source.Close()
		})
	}
	work.Go(func() error { return w.control(ctx) })
	return nil
}

// tellMembers logs what members did.
func (w *watching) tellMembers() {
	if w.members.hub == nil {
		return
	}
	s := w.members.hub.Status()
	w.Log.Info("members", "sessions", s.Sessions, "received", s.Received, "refused", s.Refused, "delivered", s.Delivered, "expired", s.Expired, "dropped", s.Dropped,
		"not_observed", w.missed.Load())
}

// begin puts the monitor where the zone's past ends.
func (w *watching) begin(ctx context.Context, work *errgroup.Group) error {
	if err := w.state.runs.unfinished(); err != nil {
		return err
	}
	past, err := w.state.past(ctx)
	if err != nil {
		return err
	}
	who, err := w.Config.rosterOptions()
	if err != nil {
		return err
	}
	if w.source != nil {
		if w.index, err = surroundings(w.Config.Interface, &who); err != nil {
			return err
		}
	}
	o := w.Config.monitorOptions()
	o.ModelDir, o.Log, o.AdaptEvery, o.Attacks = w.state.path(modelDir), w.Log, w.Config.adaptEvery(), attacks
	one := make(chan struct{}, 1) // at a time, so that the packet loop keeps a processor
	o.Background = func(job func(context.Context)) {
		work.Go(func() error {
			select {
			case one <- struct{}{}:
				job(ctx)
				<-one
			case <-ctx.Done():
			}
			return nil
		})
	}
	parts := w.state.parts()
	parts.Ledger, parts.Soon = w.writer, w.writer.Soon
	w.roster = roster.New(who)
	parts.Roster, parts.OnAlert = w.roster, raiser(context.WithoutCancel(ctx), w.state, w.Events.Alert)
	if w.monitor, err = monitor.New(ctx, o, parts, past); err != nil {
		return err
	}
	return w.monitor.Resubmit(ctx)
}

// loop takes packets, and what members say, until ctx ends, then makes everything
// durable. What it does with them is never cut short.
func (w *watching) loop(ctx context.Context) error {
	whole := context.WithoutCancel(ctx)
	take := w.frame
	if w.source == nil {
		take = w.pause
	}
	for ctx.Err() == nil {
		err := take(ctx)
		if err == nil {
			err = w.listen(whole)
		}
		if err == nil {
			err = w.tick(whole)
		}
		if err != nil {
			return errors.Join(err, w.monitor.Flush(whole))
		}
	}
	if err := w.monitor.Flush(whole); err != nil {
		return err
	}
	w.tell("stopped")
	return nil
}

// frame takes the next frame of the interface, or waits in vain for a moment.
func (w *watching) frame(ctx context.Context) error {
	whole := context.WithoutCancel(ctx)
	switch err := w.source.Next(&w.next); {
	case err == nil:
		w.packet.Time, w.packet.Length = w.next.Time, w.next.Length
		packet.Decode(w.next.Link, w.next.Data, &w.packet)
		if w.packet.HasMAC && w.roster.IsVoice(w.packet.SrcMAC) {
			return nil
		}
		return w.monitor.Observe(whole, &w.packet)
	case errors.Is(err, unix.ENETDOWN):
		return w.await(ctx, err)
	case errors.Is(err, capture.ErrTimeout):
		return w.monitor.Process(whole)
	case ctx.Err() != nil:
		return nil
	default:
		return err
	}
}

// pause waits where there is no interface: until a member says something, or for
// the moment after which what was said is judged.
func (w *watching) pause(ctx context.Context) error {
	whole := context.WithoutCancel(ctx)
	select {
	case <-ctx.Done():
		return nil
	case h := <-w.heard:
		return w.observe(whole, h)
	case <-time.After(capture.LiveTimeout):
		return w.monitor.Process(whole)
	}
}

// await waits a moment for an interface that is down; one that was removed
// ends the run.
func (w *watching) await(ctx context.Context, down error) error {
	now, err := net.InterfaceByName(w.Config.Interface)
	if err != nil || now.Index != w.index { // another one of that name is not ours
		return down
	}
	w.Log.Warn("waiting for the interface", "error", down)
	select {
	case <-ctx.Done():
	case <-time.After(tickEvery):
	}
	return nil
}

// tick does what is due by the clock.
func (w *watching) tick(ctx context.Context) error {
	select {
	case <-w.writer.news:
		if err := errors.Join(w.writer.settle(), w.monitor.Follow(ctx)); err != nil {
			return err
		}
	default:
	}
	now := time.Now()
	if err := w.answer(ctx, zone.TimeOf(now)); err != nil {
		return err
	}
	if now.Sub(w.ticked) < tickEvery {
		return nil
	}
	w.ticked = now
	if err := w.monitor.Tick(ctx, zone.TimeOf(now)); err != nil {
		return err
	}
	if now.Sub(w.told) < tellEvery {
		return nil
	}
	w.told = now
	removed, err := w.state.Store.Retain(zone.TimeOf(now))
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if len(removed) > 0 {
		w.Log.Info("old snapshots removed", "segments", len(removed), "to_seq", removed[len(removed)-1].Last)
	}
	w.tell("watching")
	return nil
}

// tell logs what was seen and what was lost.
func (w *watching) tell(what string) {
	if w.source != nil {
		if s, err := w.source.Stats(); err == nil {
			w.stats = s
		}
	}
	drops := w.monitor.Drops()
	w.Log.Info(what, "packets", w.monitor.Packets(), "devices", w.monitor.DeviceCount(), "kernel_drops", w.stats.KernelDrops,
		"kernel_received", w.stats.Received, "over_max_devices", drops.OverMaxDevices,
		"evicted_devices", drops.EvictedDevices, "evictions", evictions(w.monitor.Tables()),
		"blocks", w.state.Ledger.Height(), "writes_waiting", len(w.writer.late), "write_queue_full", w.writer.full, "seq", w.state.Store.Last())
	w.tellMembers()
}
