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
	"bellwether/internal/contract"
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
func (s *State) CheckMUD(ctx context.Context, device zone.MAC, file []byte, names map[string][]netip.Addr, from, to zone.SeqID) (zone.NetworkReport, error) {
	m, ok := s.MUD(device)
	if file != nil {
		f, err := mud.Parse(file)
		if err != nil {
			return zone.NetworkReport{}, err
		}
		m, ok = MUD{parsed: f, Names: names}, true
	}
	if !ok {
		return zone.NetworkReport{}, fmt.Errorf("%s has no network policy: give it one with `bellwether mud import`, or name a file", device)
	}
	return m.parsed.Profile.Report(s.Store.Rows(ctx, from, to, device), m.site())
}

// AlertMUD holds the evidence of an alert against the network policy that its
// device has now; ok is false where it has none.
func (s *State) AlertMUD(ctx context.Context, a *zone.Alert) (r zone.NetworkReport, m MUD, ok bool, err error) {
	if m, ok = s.MUD(a.Device); !ok {
		return r, MUD{}, false, nil
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

// MUDOrder gives a device a network policy, or takes it away.
type MUDOrder struct {
	Device    zone.MAC                `json:"device"`
	File      []byte                  `json:"file,omitempty"` // empty: take it away
	Names     map[string][]netip.Addr `json:"names,omitempty"`
	Signature []byte                  `json:"signature,omitempty"` // detached, in DER; empty: nobody signed it
	Signers   []zone.Hash             `json:"signers,omitempty"`   // certificates whose signature counts too, by the SHA-256 of their DER
}

// MUDAnswer is what came of it.
type MUDAnswer struct {
	SHA256 zone.Hash `json:"sha256"`
	Signer string    `json:"signer"` // in words; empty: nobody
	Rules  int       `json:"rules"`  // for what the device sends
	Names  int       `json:"names"`  // that these name, and were given
}

// OrderMUD has it carried out on the zone whose state directory is dir: by the
// gateway that runs there, which judges the next alert by it, or, if none does, here.
func OrderMUD(ctx context.Context, dir string, o MUDOrder) (MUDAnswer, error) {
	out, err := carry(ctx, dir, order{MUD: &o}, func(s *State) (outcome, error) {
		m, err := s.readMUD(o)
		if err != nil {
			return outcome{}, err
		}
		m.Time = zone.TimeOf(time.Now())
		return outcome{MUD: m.answer()}, s.SetMUD(ctx, m)
	})
	if err == nil && out.MUD == nil {
		err = errTooOld
	}
	if err != nil {
		return MUDAnswer{}, err
	}
	return *out.MUD, nil
}

// readMUD checks what was ordered. Of the names it keeps those that rules name.
func (s *State) readMUD(o MUDOrder) (MUD, error) {
	m := MUD{Device: o.Device, SHA256: sha256.Sum256(o.File), File: o.File}
	if len(o.File) == 0 {
		return m, nil
	}
	var err error
	if m.parsed, err = mud.Parse(o.File); err != nil {
		return m, err
	}
	if len(o.Signature) > 0 {
		if m.Signer, err = s.SignerOf(o.File, o.Signature, o.Signers); err != nil {
			return m, fmt.Errorf("signature: %w", err)
		}
	}
	m.Names = m.parsed.Profile.Uses(o.Names)
	return m, nil
}

func (m *MUD) answer() *MUDAnswer { return &MUDAnswer{m.SHA256, m.Signer, m.rules(), len(m.Names)} }

// rules is how many there are for what the device sends.
func (m *MUD) rules() int {
	if m.parsed == nil {
		return 0
	}
	return len(m.parsed.Profile.From)
}

// SetMUD gives a device a network policy, or with an empty file takes it away. When
// it returns, the file is durable and its SHA-256 stands on the ledger.
func (s *State) SetMUD(ctx context.Context, m MUD) error {
	return s.setMUD(m, func(d Decision) error {
		_, err := s.Decide(ctx, m.Device, d)
		return err
	})
}

// setMUD is SetMUD where decide puts a decision about the device on the ledger. The
// record goes first: it is in force when the ledger names it, so that the ledger
// never names one that is not there.
func (s *State) setMUD(m MUD, decide func(Decision) error) error {
	if err := s.runs.unfinished(); err != nil {
		return err
	}
	d, seen, err := contract.ReadDevice(s.Ledger.State(), m.Device)
	onLedger := m.SHA256
	if len(m.File) == 0 {
		onLedger = zone.Hash{}
	}
	switch {
	case err != nil:
		return err
	case !seen:
		return fmt.Errorf("%s is not a device of this zone yet: it has to be seen first", m.Device)
	case d.Network == onLedger && len(m.File) == 0:
		return fmt.Errorf("%s has no network policy", m.Device)
	case s.muds.same(m):
		return nil
	}
	if len(m.File) > 0 {
		if err := s.muds.put(m); err != nil {
			return err
		}
	}
	if d.Network != onLedger {
		if err := decide(Decision{Action: actionNetwork, Network: onLedger, Now: m.Time}); err != nil {
			return err
		}
	}
	s.muds.set(m)
	return nil
}
