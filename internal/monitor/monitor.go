// Package monitor is the Behaviour Monitor (paper, section 4.3): it takes each
// packet of the zone, keeps a snapshot of what the zone's devices send, learns
// each device while it is clean, judges it afterwards, and records all of it:
// snapshots in the store under their SEQ-IDs, hashes and verdicts on the ledger
// under their H-IDs.
//
// A device's life is unseen → learning → watching ⇄ malicious; an operator may
// send it back to learning. While it learns, nothing is judged. Afterwards a
// snapshot is malicious when the autoencoder's error exceeds the device's
// threshold, or when it carries a source address that the device never had;
// the device is malicious when the window vote over its snapshots says so, at
// once for a source address, or when one of novelty's counts exceeds its limit.
//
// Time is data here: it comes with the packets. The same packets give the same
// snapshots, verdicts and transactions whatever the batch size, the number of
// workers or the point of a restart.
//
// A Monitor starts no goroutine of its own and is not safe for concurrent use:
// one goroutine calls its methods. What it hands to Options.Background reads ledger,
// store and model files, and gives its result back through a channel.
package monitor

import (
	"context"
	"crypto"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"time"

	"bellwether/internal/detect"
	"bellwether/internal/feature"
	"bellwether/internal/ledger"
	"bellwether/internal/novelty"
	"bellwether/internal/packet"
	"bellwether/internal/roster"
	"bellwether/internal/store"
	"bellwether/internal/zone"
)

// Options says how the monitor works. Zero fields take the defaults named.
type Options struct {
	Learn       Learn
	Detect      detect.Options
	Limits      feature.Limits
	SegmentRows int           // snapshots that fill a segment of the store: 8,192
	SegmentAge  time.Duration // and how long one may stay open, in packet time: 10 min
	Without     []string      // reasons of alerts that are switched off: none
	Quiet       time.Duration // without alarm until a malicious device is watched again: 5 min
	Batch       int           // snapshots scored together: 512; no result depends on it
	Workers     int           // goroutines that score and train: 1; no result depends on it
	MaxDevices  int           // devices that are kept, those that the operator knows aside: 512; packets of others are counted
	ModelDir    string        // where learned models are kept
	AdaptEvery  time.Duration // live, how often at most a device's model may follow it by itself: never
	// Background runs a training job beside the packet path, soon; the job
	// ends when its context does. Nil trains only
	// in FinishLearning, so that a replay is judged by its second set alone.
	Background func(job func(context.Context))
	// Attacks gives attacks that did not happen by a device with these addresses: of
	// each kind some, the strongest first, each at half the rate of the one
	// before. No model takes over that finds less of them than it may. Nil tries none.
	Attacks func(mac zone.MAC, ip netip.Addr) [][]Attack
	Log     *slog.Logger
}

// Reasons gives the reasons of alerts, for Options.Without.
func Reasons() []string {
	return []string{zone.ReasonScore, zone.ReasonSource, zone.ReasonHosts, zone.ReasonScan, zone.ReasonPorts, zone.ReasonFlows, zone.ReasonPeer, zone.ReasonBurst, zone.ReasonRate, zone.ReasonSilent}
}

// DefaultQuiet is how long a malicious device must give no cause for alarm unless
// Options say otherwise.
const DefaultQuiet = 5 * time.Minute

// MinSnapshots is the fewest that a device can be learned from.
const MinSnapshots = 20

// Learn says when a device has been seen enough.
type Learn struct {
	Snapshots int           // at least so many snapshots: 2,000
	For       time.Duration // and, live, at least for so long: 24 h
}

func (o Options) withDefaults() Options {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&o.Learn.Snapshots, 2000)
	if o.Detect.MinRows == 0 {
		o.Detect.MinRows = min(200, max(MinSnapshots, o.Learn.Snapshots))
	}
	set(&o.SegmentRows, 8192)
	set(&o.Batch, 512)
	set(&o.Workers, 1)
	set(&o.MaxDevices, 512)
	if o.SegmentAge <= 0 {
		o.SegmentAge = 10 * time.Minute
	}
	if o.Quiet <= 0 {
		o.Quiet = DefaultQuiet
	}
	if o.Learn.For <= 0 {
		o.Learn.For = 24 * time.Hour
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Parts are what the monitor works with. It owns none of them.
type Parts struct {
	Roster *roster.Roster
	Store  *store.Store
	Alerts *Alerts
	Leases *Leases // nil keeps them in memory only
	Trials *Trials // nil forgets them
	Ledger ledger.Ledger
	Signer crypto.Signer
	// Soon asks the ledger to commit what was submitted, and need not wait until it
	// is done: what is committed then is followed by the next call that records,
	// or by Follow. Nil waits.
	Soon func(context.Context) error
	// Network holds the evidence of an alert against the device's network policy; nil
	// says that it has none. May be nil.
	Network func(mac zone.MAC, evidence []zone.Snapshot) (*zone.AlertNetwork, error)
	// OnAlert is called for each alert once its verdict and evidence are
	// durable. May be nil.
	OnAlert func(zone.Alert, ledger.Receipt) error
}

// Drops counts what did not become a snapshot or a verdict, by reason.
type Drops struct {
	OverMaxDevices uint64 // packets of devices beyond Options.MaxDevices
	EvictedDevices uint64 // devices that gave way: they had sent less than MinSnapshots
	SilencedAlerts uint64 // alerts that an operator's silence kept back
}

// Monitor is the Behaviour Monitor of one zone.
type Monitor struct {
	o         Options
	p         Parts
	extractor *feature.Extractor
	devices   map[zone.MAC]*device
	itself    *device              // the zone as a subject of transactions
	evicted   map[zone.MAC]*device // had a place, and may come back
	waiting   waiting
	sources   sources
	record    recorder

	vector  feature.Vector
	batch   []zone.Snapshot // scored and judged together
	owners  []*device       // of the batch's snapshots
	answers []answer        // between the batch's snapshots
	callers *novelty.Heard
	misuse  []string        // why a snapshot's source is wrong, "" if it is not
	segment []zone.Snapshot // judged, not yet in the store
	nextSeq zone.SeqID
	packets uint64 // observed since Start, the next one's index
	newest  zone.Time
	closed  bool // by FinishLearning: nothing more is learned
	drops   Drops
	trained chan trained // results of Background jobs

	successors chan successor // likewise, of changes of models
	episodes   []*Episode
}

// New makes a monitor that goes on from a zone's past: the devices as the
// ledger's state has them, the SEQ-ID after the last one of that past.
func New(ctx context.Context, o Options, p Parts, past Past) (*Monitor, error) {
	o = o.withDefaults()
	m := &Monitor{
		o: o, p: p,
		extractor: feature.NewExtractor(o.Limits),
		devices:   map[zone.MAC]*device{},
		itself:    &device{n: past.ZoneN},
		evicted:   map[zone.MAC]*device{},
		waiting:   newWaiting(o.MaxDevices),
		sources:   newSources(),
		callers:   novelty.NewHeard(),
		record:    newRecorder(p, past),
		nextSeq:   past.LastSeq + 1,
		trained:   make(chan trained, o.MaxDevices),

		successors: make(chan successor, 1), // whose job waits until there is room, or its context ends
	}
	for _, d := range past.Devices {
		if err := m.restore(&past, d); err != nil {
			return nil, err
		}
	}
	for len(m.devices) > o.MaxDevices && m.evict() {
	}
	for _, l := range past.Leases {
		m.sources.take(l)
	}
	return m, m.recall(ctx)
}

// Observe takes the next packet. Its effects are durable after Flush.
func (m *Monitor) Observe(ctx context.Context, p *packet.Packet) error {
	index := m.packets
	if index == 0 || p.Time.Sub(m.newest) > blindSpan {
		m.sources.gap++
	}
	if p.Time.Sub(m.newest) > longBlind {
		m.answers = append(m.answers, answer{before: len(m.batch), blind: true})
	}
	m.packets++
	m.newest = p.Time
	if m.p.Roster.Leases(p.SrcMAC) {
		m.keepLease(m.sources.learnLease(p, func(mac zone.MAC) bool { return m.devices[mac] != nil }))
	}
	d, misuse := m.owner(p)
	m.noteAnswer(p)
	if d == nil {
		m.extractor.Update(p, nil)
		return m.processIf(ctx, len(m.answers) >= maxAnswers)
	}
	m.extractor.Update(p, &m.vector)
	m.batch = append(m.batch, zone.Snapshot{})
	s := &m.batch[len(m.batch)-1]
	m.fill(s, p, d, index)
	m.owners = append(m.owners, d)
	m.misuse = append(m.misuse, misuse)
	return m.processIf(ctx, len(m.batch) >= m.o.Batch)
}

func (m *Monitor) processIf(ctx context.Context, full bool) error {
	if !full {
		return nil
	}
	return m.Process(ctx)
}

// answer is what a packet to a device says, and before which snapshot of the
// batch it came.
type answer struct {
	before int
	blind  bool    // no packet at all was seen for a while
	to     *device // nil: to a group
	novelty.Answer
}

// longBlind is how long no packet at all has to be seen for answers to be missed. A
// minute is no more than a quiet one in a small zone.
const longBlind = novelty.ContactSpan

// maxAnswers bounds the answers that wait for the batch.
const maxAnswers = 4096

// noteAnswer keeps for the batch that somebody sends to a learned device, or that
// one of the zone sends to a group.
func (m *Monitor) noteAnswer(p *packet.Packet) {
	to := m.devices[p.DstMAC]
	learned := to != nil && to.model != nil && p.SrcMAC != p.DstMAC
	if !learned && !(p.DstMAC.IsGroup() && m.p.Roster.Inside(p.Src)) {
		return
	}
	a, ok := novelty.AnswerOf(p)
	if !ok {
		return
	}
	next := answer{before: len(m.batch), to: to, Answer: a}
	if n := len(m.answers); n == 0 || m.answers[n-1] != next {
		m.answers = append(m.answers, next)
	}
}

// keepLease makes a lease durable that is new.
func (m *Monitor) keepLease(l Lease, fresh bool) {
	if fresh && m.p.Leases != nil {
		m.p.Leases.Add(l)
	}
}

// fill makes the snapshot of a packet.
func (m *Monitor) fill(s *zone.Snapshot, p *packet.Packet, d *device, index uint64) {
	*s = snapshotOf(p, &m.vector)
	s.Seq, s.Device, s.Packet = m.nextSeq, d.mac, index
	m.nextSeq++
}

// snapshotOf gives what a snapshot says of a packet and the features right after it.
func snapshotOf(p *packet.Packet, v *feature.Vector) zone.Snapshot {
	s := zone.Snapshot{
		Time:   p.Time,
		SrcMAC: p.SrcMAC, DstMAC: p.DstMAC, Src: p.Src, Dst: p.Dst,
		Proto: uint16(p.Proto), SrcPort: p.SrcPort, DstPort: p.DstPort,
		TCPFlags: p.TCPFlags, Length: uint32(p.Length),
	}
	switch {
	case p.Kind != packet.KindIPv4 && p.Kind != packet.KindIPv6:
		s.Proto = p.EtherType
	case !p.HasPorts:
		s.DstPort = uint16(p.ICMPType)<<8 | uint16(p.ICMPCode)
	}
	for i, x := range v {
		s.Features[i] = finite(x)
	}
	return s
}

// finite is v as a snapshot holds it: what overflows is the largest number, what
// is none is 0. So a score is finite, as alerts and transactions want it.
func finite(v float64) float32 {
	if math.IsNaN(v) {
		return 0
	}
	return float32(min(max(v, -math.MaxFloat32), math.MaxFloat32))
}

// owner finds the device that a packet is about, and why its source is wrong
// if it is. A sender that is seen for the first time becomes a device.
func (m *Monitor) owner(p *packet.Packet) (*device, string) {
	d := m.devices[p.SrcMAC]
	if d != nil && p.HasMAC {
		d.sent, d.newest = d.sent+1, m.nextSeq
	}
	if d != nil && d.model != nil && p.HasMAC {
		m.keepLease(m.sources.renumbered(d, p))
		return d, m.sources.misuse(d, p)
	}
	if victim := m.sources.owner(p); victim != nil && p.HasMAC && !m.p.Roster.IsGateway(p.SrcMAC) {
		return victim, fmt.Sprintf("its address %s is used by %s", p.Src, p.SrcMAC)
	}
	if d != nil && p.HasMAC {
		return d, ""
	}
	if !m.p.Roster.IsDevice(p) {
		return nil, ""
	}
	if d = m.admit(p.SrcMAC); d != nil {
		d.sent, d.newest = d.sent+1, m.nextSeq
	}
	return d, ""
}

// Tick says that time went on without packets: training results are taken, a
// segment that is too old is closed, and a model that may follow its device by
// itself begins to.
func (m *Monitor) Tick(ctx context.Context, now zone.Time) error {
	if err := m.Process(ctx); err != nil {
		return err
	}
	if len(m.segment) > 0 && now.Sub(m.segment[0].Time) >= m.o.SegmentAge {
		if err := m.closeSegment(ctx); err != nil {
			return err
		}
	}
	if err := m.record.soon(ctx); err != nil {
		return err
	}
	return m.followByRule(ctx)
}

// Follow gives receipts and alerts for what the ledger has committed since.
func (m *Monitor) Follow(ctx context.Context) error { return m.record.follow(ctx) }

// Flush makes everything that was observed durable: store, ledger, alerts.
func (m *Monitor) Flush(ctx context.Context) error {
	if err := m.Process(ctx); err != nil {
		return err
	}
	if err := m.closeSegment(ctx); err != nil {
		return err
	}
	return m.record.commit(ctx)
}

// Restart forgets the traffic statistics, not the devices: for input that
// begins anew at another time.
func (m *Monitor) Restart() {
	m.extractor.Reset()
	m.packets = 0
	m.callers = novelty.NewHeard()
	for _, d := range m.devices {
		m.forgetTraffic(d)
	}
}

// DeviceCount is how many devices the zone has.
func (m *Monitor) DeviceCount() int { return len(m.devices) }

// Packets is the number of packets observed since the last Restart.
func (m *Monitor) Packets() uint64 { return m.packets }

// Seq is the SEQ-ID of the newest snapshot.
func (m *Monitor) Seq() zone.SeqID { return m.nextSeq - 1 }

// Drops is what was not kept so far.
func (m *Monitor) Drops() Drops {
	d := m.drops
	d.SilencedAlerts = m.record.hidden
	return d
}

// Tables is the state of the bounded feature tables.
func (m *Monitor) Tables() feature.Stats { return m.extractor.Stats() }
