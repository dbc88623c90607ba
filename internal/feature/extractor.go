package feature

import (
	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// Extractor keeps the statistics of the traffic seen so far. In a full table
// the entry that was updated longest ago makes room for a new one, and starts
// from nothing should it come back. It is not safe for concurrent use.
type Extractor struct {
	limits   Limits
	sources  *table[sourceKey, stream]
	hosts    *table[hostKey, stream]
	channels *table[channelKey, channel]
	sockets  *table[socketKey, pair]
	memos    memos
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
	source := absorb(e.sources, sourceKey{way.src, p.SrcMAC, way.kind}, p.Time, value, &e.memos.stream)
	host := absorb(e.hosts, hostKey{way.src, way.kind}, p.Time, value, &e.memos.stream)
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
func absorb[K comparable](t *table[K, stream], k K, at zone.Time, value float64, m *memo) *stream {
	s, fresh := t.touch(k)
	if fresh {
		s.begin()
	}
	s.absorb(m.at(s.advance(at)), value)
	return s
}

func (e *Extractor) absorbChannel(way *ends, at zone.Time, value float64) (*channel, side) {
	k, s := way.channel()
	c, fresh := e.channels.touch(k)
	if fresh {
		c.begin(at)
	}
	c.absorb(s, at, value, &e.memos)
	return c, s
}

func (e *Extractor) absorbSocket(p *packet.Packet, way *ends, value float64) (*pair, side) {
	k, s := socketOf(p, *way)
	q, fresh := e.sockets.touch(k)
	if fresh {
		q.begin(p.Time)
	}
	q.absorb(s, p.Time, value, &e.memos)
	return q, s
}

// Stats says how full the tables are.
func (e *Extractor) Stats() Stats {
	return Stats{
		Sources:  e.sources.stats(),
		Hosts:    e.hosts.stats(),
		Channels: e.channels.stats(),
		Sockets:  e.sockets.stats(),
		Bound:    e.limits.Bytes(),
	}
}
