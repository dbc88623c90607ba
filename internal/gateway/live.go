package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

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
# alerts:
#   file: /var/log/bellwether/eve.json
`

// ValidateLive reports what a live gateway lacks in a configuration.
func (c Config) ValidateLive() error {
	var errs []error
	if c.State == "" {
		errs = append(errs, errors.New("state is missing: want a directory like /var/lib/bellwether"))
	}
	if c.Interface == "" {
		errs = append(errs, errors.New("interface is missing: want the network interface on the zone's side"))
	}
	if _, err := c.rosterOptions(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, c.Validate())...)
}

// Live watches a network interface.
type Live struct {
	Config Config
	Events Events
	Log    *slog.Logger
}

// watching is a Live under way. Its packet loop is the only user of monitor.
type watching struct {
	Live
	state   *State
	source  *capture.Live
	monitor *monitor.Monitor
	writer  *writer // to the ledger
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
	w := &watching{Live: l, asked: make(chan request)}
	source, err := capture.OpenLive(l.Config.Interface, capture.LiveOptions{Promiscuous: l.Config.Promiscuous})
	if err != nil {
		return err
	}
	w.source = source
	defer source.Close()
	o := l.Config.stateOptions()
	o.Identity.Created, o.Log = zone.TimeOf(time.Now()), l.Log
	o.MaxAge, o.MaxBytes = cmp.Or(o.MaxAge, keepFor), cmp.Or(o.MaxBytes, keepBytes)
	if w.state, err = OpenState(ctx, l.Config.State, o); err != nil {
		return err
	}
	defer w.state.Close()

	w.writer = newWriter(w.state.Ledger)
	writes := make(chan struct{})
	go func() { w.writer.Run(); close(writes) }()
	defer func() { w.writer.end(); <-writes }()
	work, ctx := errgroup.WithContext(ctx)
	if err := w.begin(ctx, work); err != nil {
		return err
	}
	work.Go(func() error { return w.loop(ctx) })
	work.Go(func() error { return w.control(ctx) })
	work.Go(func() error {
		<-ctx.Done()
		return source.Close()
	})
	err = work.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// begin puts the monitor where the zone's past ends.
func (w *watching) begin(ctx context.Context, work *errgroup.Group) error {
	if err := w.state.runs.unfinished(); err != nil {
		return err
	}
	iface, err := net.InterfaceByName(w.Config.Interface)
	if err != nil {
		return fmt.Errorf("interface %s: %w", w.Config.Interface, err)
	}
	w.index = iface.Index
	past, err := w.state.past(ctx)
	if err != nil {
		return err
	}
	who, err := w.Config.rosterOptions()
	if err != nil {
		return err
	}
	if err := surroundings(w.Config.Interface, &who); err != nil {
		return err
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
	parts.Roster, parts.OnAlert = roster.New(who), raiser(context.WithoutCancel(ctx), w.state, w.Events.Alert)
	if w.monitor, err = monitor.New(ctx, o, parts, past); err != nil {
		return err
	}
	return w.monitor.Resubmit(ctx)
}

// loop takes packets until ctx ends, then makes everything durable. What it
// does with a packet is never cut short.
func (w *watching) loop(ctx context.Context) error {
	whole := context.WithoutCancel(ctx)
	var fr capture.Frame
	for ctx.Err() == nil {
		err := w.source.Next(&fr)
		switch {
		case err == nil:
			w.packet.Time, w.packet.Length = fr.Time, fr.Length
			packet.Decode(fr.Link, fr.Data, &w.packet)
			err = w.monitor.Observe(whole, &w.packet)
		case errors.Is(err, unix.ENETDOWN):
			err = w.await(ctx, err)
		case errors.Is(err, capture.ErrTimeout):
			err = w.monitor.Process(whole)
		case ctx.Err() != nil:
			err = nil
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
	s, err := w.source.Stats()
	if err == nil {
		w.stats = s
	}
	drops := w.monitor.Drops()
	w.Log.Info(what, "packets", w.monitor.Packets(), "devices", w.monitor.DeviceCount(), "kernel_drops", w.stats.KernelDrops,
		"kernel_received", w.stats.Received, "over_max_devices", drops.OverMaxDevices,
		"evicted_devices", drops.EvictedDevices, "evictions", evictions(w.monitor.Tables()),
		"blocks", w.state.Ledger.Height(), "writes_waiting", len(w.writer.late), "write_queue_full", w.writer.full, "seq", w.state.Store.Last())
}
