package feature

// Limits bounds an Extractor's tables. The bytes are what one entry takes with
// its share of the index; Bytes gives the whole.
type Limits struct {
	// Hosts is the most source addresses, and also the most pairs of source
	// MAC and source address, kept at once: two tables of about 210 bytes an
	// entry. 0 or less is 16,384.
	Hosts int
	// Channels is the most pairs of addresses kept at once, about 670 bytes
	// each for both directions. 0 or less is 32,768.
	Channels int
	// Sockets is the most pairs of address, protocol and port kept at once,
	// about 550 bytes each for both directions. 0 or less is 65,536.
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
// ever holds; with the defaults 65 MB. It starts with almost nothing and grows
// with what it sees.
func (l Limits) Bytes() int64 {
	l = l.withDefaults()
	return tableBytes[sourceKey, stream](l.Hosts) + tableBytes[hostKey, stream](l.Hosts) +
		tableBytes[channelKey, channel](l.Channels) + tableBytes[socketKey, pair](l.Sockets)
}

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
