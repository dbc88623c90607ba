package feature

import (
	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// Limits bounds an Extractor's tables. The bytes are what one entry takes with
// its share of the index; Bytes gives the whole.
type Limits struct {
	// Hosts is the most source addresses, and also the most pairs of source
	// MAC and source address, kept at once: two tables of about 190 bytes an
	// entry. 0 or less is 16,384.
	Hosts int
	// Channels is the most pairs of addresses kept at once, about 690 bytes
	// each for both directions. 0 or less is 32,768.
	Channels int
	// Sockets is the most pairs of address, protocol and port kept at once,
	// about 530 bytes each for both directions. 0 or less is 65,536.
	Sockets int
}

// The limits that a zero field stands for.
const (
	defaultHosts    = 16 << 10
	defaultChannels = 32 << 10
	defaultSockets  = 64 << 10
)

func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		field *int
		value int
	}{{&l.Hosts, defaultHosts}, {&l.Channels, defaultChannels}, {&l.Sockets, defaultSockets}} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	return l
}

// Bytes is an upper bound of the memory that an Extractor with these limits
// ever holds. It starts with almost nothing and grows with what it sees.
func (l Limits) Bytes() int64 { return NewExtractor(l).Stats().Bound }

// Stats says how full an Extractor's tables are.
type Stats struct {
	Sources, Hosts, Channels, Sockets TableStats
	Bound                             int64 // bytes, see Limits.Bytes
}

// TableStats counts one table's entries: those that it holds, the most that it
// may hold, and those that it gave up since the start or the last Reset.
type TableStats struct {
	Live, Limit int
	Evicted     uint64
}

// Extractor keeps the statistics of the traffic seen so far. In a full table
// the entry that was updated longest ago makes room for a new one, and starts
// from nothing should it come back. It is not safe for concurrent use.
type Extractor struct {
	limits   Limits
	sources  *table[sourceKey, stream]
	hosts    *table[hostKey, stream]
	channels *table[channelKey, channel]
	sockets  *table[socketKey, pair]
}

// NewExtractor returns an Extractor that has seen nothing.
func NewExtractor(l Limits) *Extractor {
	e := &Extractor{limits: l.withDefaults()}
	e.Reset()
	return e
}

// Reset makes the Extractor forget everything and give its memory back.
func (e *Extractor) Reset() {
	e.sources = newTable[sourceKey, stream](e.limits.Hosts)
	e.hosts = newTable[hostKey, stream](e.limits.Hosts)
	e.channels = newTable[channelKey, channel](e.limits.Channels)
	e.sockets = newTable[socketKey, pair](e.limits.Sockets)
}

// Update absorbs a packet and fills v with the features of the moment after
// it; with a nil v it only absorbs, which is cheaper and leaves the same
// statistics. A packet from the past is counted without decay, and its gap in
// HH_jit is 0.
func (e *Extractor) Update(p *packet.Packet, v *Vector) {
	way := endsOf(p)
	value := float64(p.Length)
	source := absorb(e.sources, sourceKey{way.src, p.SrcMAC, way.kind}, p.Time, value)
	host := absorb(e.hosts, hostKey{way.src, way.kind}, p.Time, value)
	c, cs := e.absorbChannel(&way, p.Time, value)
	s, ss := e.absorbSocket(p, &way, value)
	if v == nil {
		return
	}
	source.write((*[lenSingle]float64)(v[atSource:]))
	host.write((*[lenSingle]float64)(v[atHost:]))
	c.write(cs, (*[lenPair]float64)(v[atChannel:]))
	c.gaps[cs.own()].write(&c.streams[cs.own()].w, (*[lenSingle]float64)(v[atJitter:]))
	s.write(ss, (*[lenPair]float64)(v[atSocket:]))
}

// absorb adds a value to the stream of a key.
func absorb[K comparable](t *table[K, stream], k K, at zone.Time, value float64) *stream {
	s, fresh := t.touch(k)
	if fresh {
		s.begin()
	}
	f := decay(s.advance(at))
	s.absorb(&f, value)
	return s
}

func (e *Extractor) absorbChannel(way *ends, at zone.Time, value float64) (*channel, side) {
	k, s := way.channel()
	c, fresh := e.channels.touch(k)
	if fresh {
		c.pair.begin(at)
		c.gaps = [2]jitter{}
	}
	ns, f := c.absorb(s, at, value)
	c.gaps[s.own()].absorb(&f, ns)
	return c, s
}

func (e *Extractor) absorbSocket(p *packet.Packet, way *ends, value float64) (*pair, side) {
	k, s := socketOf(p, *way)
	q, fresh := e.sockets.touch(k)
	if fresh {
		q.begin(p.Time)
	}
	q.absorb(s, p.Time, value)
	return q, s
}

// Stats says how full the tables are.
func (e *Extractor) Stats() Stats {
	return Stats{
		Sources:  e.sources.stats(),
		Hosts:    e.hosts.stats(),
		Channels: e.channels.stats(),
		Sockets:  e.sockets.stats(),
		Bound:    e.sources.bytes() + e.hosts.bytes() + e.channels.bytes() + e.sockets.bytes(),
	}
}
