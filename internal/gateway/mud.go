package gateway

import (
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"bellwether/internal/capture"
	"bellwether/internal/monitor"
	"bellwether/internal/mud"
	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// mudURL is where a learned file says that it is at home, under a name that
// never exists (RFC 6761).
const mudURL = "https://bellwether.invalid/"

// LearnMUD says how a device's network policy is learned.
type LearnMUD struct {
	Device zone.MAC
	Hosts  bool                    // each host that is not local has its own rules
	Names  map[string][]netip.Addr // what name servers answered the device; with Hosts
	URL    string                  // where the file will be at home; "": one that does not exist
}

// LearnedMUD is a network policy that was learned, and how.
type LearnedMUD struct {
	File      []byte // the MUD file
	Signature []byte // by the zone, detached, CMS in DER
	Rules     int    // in both directions
	Snapshots int    // that it was learned from
	Missing   uint64 // that the model was learned from and are not kept any more
	Dropped   int    // that were of too many kinds
	From, To  zone.Time
}

// LearnMUD makes a MUD file of the snapshots that the device's model in force was
// learned from, and signs it with the zone's key. The same snapshots and names
// give the same bytes.
func (s *State) LearnMUD(ctx context.Context, o LearnMUD) (*LearnedMUD, error) {
	h, err := monitor.ReadHistory(ctx, s.Ledger, o.Device)
	if err != nil {
		return nil, err
	}
	if len(h.Models) == 0 {
		return nil, fmt.Errorf("%s has no model: it is still learning, or not a device of this zone; `bellwether device list` says which", o.Device)
	}
	window := h.Models[len(h.Models)-1]
	var l mud.Learner
	for row, err := range s.Store.Rows(ctx, window.First, window.Last, o.Device) {
		if err != nil {
			return nil, fmt.Errorf("what %s was learned from: %w", o.Device, err)
		}
		if row.Label != zone.Malicious && row.SrcMAC == o.Device {
			l.Add(row)
		}
	}
	learned, err := l.Learned(&mud.Site{Names: o.Names}, o.Hosts)
	if err != nil {
		return nil, err
	}
	if learned.Rows == 0 {
		return nil, fmt.Errorf("none of the %d snapshots that %s was learned from are kept any more (store.max_age, store.max_bytes)", window.Rows, o.Device)
	}
	if len(learned.Profile.From) == 0 {
		return nil, fmt.Errorf("the %d snapshots that %s was learned from hold no IP packet that a MUD file could describe", learned.Rows, o.Device)
	}
	out := &LearnedMUD{Rules: len(learned.Profile.From) + len(learned.Profile.To), Snapshots: learned.Rows, Dropped: learned.Dropped, From: window.From, To: learned.Last}
	if n := uint64(learned.Rows); n < window.Rows {
		out.Missing = window.Rows - n
	}
	return out, s.signMUD(out, &learned, o)
}

// signMUD writes the file and its signature.
func (s *State) signMUD(out *LearnedMUD, learned *mud.Learned, o LearnMUD) error {
	home := o.URL
	if home == "" {
		home = mudURL + s.Zone.ID.Short() + "/" + strings.ReplaceAll(o.Device.String(), ":", "-") + ".json"
	}
	f := &mud.File{Version: 1, URL: home, Signature: home + ".p7s", LastUpdate: learned.Last.Std().Truncate(time.Second).Format(time.RFC3339),
		CacheValidity: 48, Supported: true, Systeminfo: fmt.Sprintf("learned by Bellwether from %d packets of %s", learned.Rows, o.Device), Profile: learned.Profile}
	var err error
	if out.File, err = mud.Encode(f); err != nil {
		return err
	}
	certificate, err := s.mudCertificate()
	if err != nil {
		return err
	}
	out.Signature, err = mud.Sign(out.File, s.Key, certificate)
	return err
}

// mudCertificate is the zone's certificate, which follows from its key and its
// first block.
func (s *State) mudCertificate() ([]byte, error) {
	return mud.Certificate(s.Key, "bellwether zone "+s.Zone.ID.Short(), s.Zone.Created)
}

// SignerOf checks a detached signature of a MUD file and says in words who signed
// it: the zone itself, or the owner of one of the trusted certificates, given by
// the SHA-256 of their DER.
func (s *State) SignerOf(file, signature []byte, trusted []zone.Hash) (string, error) {
	c, err := mud.Verify(file, signature)
	if err != nil {
		return "", err
	}
	if s.Key.Ed25519().Equal(c.PublicKey) {
		return "this zone", nil
	}
	print := zone.Hash(sha256.Sum256(c.Raw))
	if slices.Contains(trusted, print) {
		return fmt.Sprintf("%s (%s)", c.Subject, print.Short()), nil
	}
	return "", fmt.Errorf("the signature holds, and is by %s, a key that is neither this zone's nor that of a certificate given with --signer", c.Subject)
}

// maxNames and maxAddresses bound what is read from name servers' answers.
const (
	maxNames     = 4096
	maxAddresses = 256
)

// ReadNames reads from captures what name servers answered a device. It is the
// only place where the content of packets is looked at, and only done when an
// operator asks for names. A damaged capture is read as far as it goes, and told of.
func ReadNames(ctx context.Context, captures []string, device zone.MAC) (names map[string][]netip.Addr, damaged []error, err error) {
	names = map[string][]netip.Addr{}
	var p packet.Packet
	damaged, err = Frames(ctx, captures, func(fr *capture.Frame) error {
		packet.Decode(fr.Link, fr.Data, &p)
		if p.DstMAC == device {
			addNames(names, &p)
		}
		return nil
	})
	for _, addrs := range names {
		slices.SortFunc(addrs, netip.Addr.Compare)
	}
	return names, damaged, err
}

// addNames takes what a name server's answer says, within bounds.
func addNames(names map[string][]netip.Addr, p *packet.Packet) {
	a, ok := p.DNSAnswer()
	if !ok || len(names) == maxNames && names[a.Name] == nil {
		return
	}
	for _, addr := range a.Addresses {
		if had := names[a.Name]; len(had) < maxAddresses && !slices.Contains(had, addr) {
			names[a.Name] = append(had, addr)
		}
	}
}

// CheckMUD holds what a device sent, from one SEQ-ID to another (0: no bound),
// against a network policy: a file with its names, or with none the one it was
// given.
func (s *State) CheckMUD(ctx context.Context, device zone.MAC, file []byte, names map[string][]netip.Addr, from, to zone.SeqID) (mud.Report, error) {
	m, ok := s.MUD(device)
	if file != nil {
		f, err := mud.Parse(file)
		if err != nil {
			return mud.Report{}, err
		}
		m, ok = MUD{parsed: f, Names: names}, true
	}
	if !ok {
		return mud.Report{}, fmt.Errorf("%s has no network policy: give it one with `bellwether mud import`, or name a file", device)
	}
	return m.parsed.Profile.Report(s.Store.Rows(ctx, from, to, device), m.site())
}

// AlertMUD holds the evidence of an alert against the network policy of its
// device; ok is false where it has none.
func (s *State) AlertMUD(ctx context.Context, a *zone.Alert) (r mud.Report, m MUD, ok bool, err error) {
	if m, ok = s.MUD(a.Device); !ok {
		return mud.Report{}, MUD{}, false, nil
	}
	var rows iter.Seq2[*zone.Snapshot, error]
	if len(a.Contacts) > 0 {
		rows = s.Store.Named(ctx, a.Contacts)
	} else {
		rows = s.Store.Rows(ctx, a.First, a.Last, a.Device)
	}
	r, err = m.parsed.Profile.Report(rows, m.site())
	return r, m, true, err
}
