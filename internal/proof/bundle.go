// Package proof makes and checks proof bundles: one file that shows a stranger
// that an alert was raised for what it says, by this zone, from these
// snapshots, with this model, and that the zone's ledger holds all of it. Checking needs the
// file and the zone's public key (the anchor), no network and no clock.
//
// A bundle holds the alert, its verdict's transaction, the transaction that
// created the zone, the model and the transaction that accepted it, and the
// device's snapshots that voted with the transactions of their segments, and its
// network policy if the alert speaks of one. Each
// transaction comes with its inclusion proof up to a signed checkpoint. What the
// bundle cannot show is that the capture itself was honest: that is the
// gateway's word, under its signature.
//
// A bundle of a zone whose ledger is on a channel of Hyperledger Fabric also holds
// what the channel's orderers, endorsers and a peer signed about the blocks that it
// rests on. That is checked against the channel's configuration block, which is an
// anchor of its own.
//
// The file is JSON in one canonical form: two spaces of indentation, fields in
// order, bytes as base64. A bundle in any other form is refused, so that no part
// of it goes unchecked.
package proof

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"

	"bellwether/internal/ledger"
	"bellwether/internal/zone"
)

// Format names the bundle's version.
const Format = "bellwether-proof/1"

// MaxBytes bounds a bundle's file.
const MaxBytes = 64 << 20

// Bundle is a proof of one alert.
type Bundle struct {
	Format   string     `json:"format"`
	Anchor   string     `json:"anchor"` // the zone's public key, a C2SP verifier key
	Alert    zone.Alert `json:"alert"`
	Zone     Entry      `json:"zone"`    // the transaction that created the zone
	Verdict  Entry      `json:"verdict"` // the transaction that called the device malicious
	Model    Model      `json:"model"`
	Segments []Segment  `json:"segments"` // with the alert's evidence, in order
	// Between has the device's other transactions between those of the first
	// and the last segment. Since a device's transactions are numbered, they show
	// that no segment was left out.
	Between []Entry `json:"between"`
	// Policy is the device's network policy, if the alert speaks of one and it is there.
	Policy *Policy `json:"policy,omitempty"`
	// Channel is what others than the zone signed, if its ledger is on a channel of
	// Hyperledger Fabric and the channel was asked.
	Channel *Channel `json:"channel,omitempty"`
}

// Entry is a transaction and the proof that it is on the ledger.
type Entry struct {
	Tx         []byte   `json:"tx"` // signed bytes
	Header     []byte   `json:"header"`
	Signature  []byte   `json:"header_signature"`
	Index      uint32   `json:"index"` // in its block
	TxPath     [][]byte `json:"tx_path"`
	HeaderPath [][]byte `json:"header_path"`
	Checkpoint string   `json:"checkpoint"` // C2SP signed note
}

// Model is the model that judged, and the entry that accepted it.
type Model struct {
	Accepted Entry  `json:"accepted"`
	File     []byte `json:"file"`
}

// Segment is the part of the evidence that one segment holds.
type Segment struct {
	Recorded Entry `json:"recorded"`
	Rows     []Row `json:"rows"`
}

// Row is one snapshot and its place among the device's rows of the segment.
type Row struct {
	Snapshot zone.Snapshot `json:"snapshot"`
	Index    uint64        `json:"index"`
	Path     []zone.Hash   `json:"path"`
}

// NewEntry puts a transaction and its inclusion proof together.
func NewEntry(tx []byte, in *ledger.Inclusion) Entry {
	return Entry{Tx: tx, Header: in.Header.Bytes(), Signature: in.Signature, Index: in.Index,
		TxPath: nonNil(in.TxPath), HeaderPath: nonNil(in.HeaderPath), Checkpoint: string(in.Checkpoint)}
}

func nonNil(p [][]byte) [][]byte {
	if p == nil {
		return [][]byte{}
	}
	return p
}

// inclusion gives the ledger's own form of the entry's proof.
func (e *Entry) inclusion() (*ledger.Inclusion, error) {
	h, err := ledger.ParseHeader(e.Header)
	if err != nil {
		return nil, err
	}
	return &ledger.Inclusion{Header: *h, Signature: e.Signature, Index: e.Index,
		TxPath: e.TxPath, HeaderPath: e.HeaderPath, Checkpoint: []byte(e.Checkpoint)}, nil
}

// Marshal gives the bundle's file.
func (b *Bundle) Marshal() ([]byte, error) {
	out, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return append(out, '\n'), nil
}

// Parse reads a bundle's file, and nothing but its canonical form. The error
// is a [*FieldError].
func Parse(raw []byte) (*Bundle, error) {
	if len(raw) > MaxBytes {
		return nil, failf("bundle", "it is more than %d bytes long", MaxBytes)
	}
	b := new(Bundle)
	d := decoder{json.NewDecoder(bytes.NewReader(raw))}
	if err := d.value(reflect.ValueOf(b).Elem(), ""); err != nil {
		return nil, err
	}
	if b.Format != Format {
		return nil, failf("format", "the bundle is %q, this program checks %q", b.Format, Format)
	}
	again, err := b.Marshal()
	if err != nil {
		return nil, failf("bundle", "%v", err)
	}
	if at := differ(raw, again); at >= 0 {
		return nil, failf("bundle", "byte %d: white space differs from the canonical form, or something follows", at)
	}
	return b, nil
}

// differ gives the first place where a and b differ, -1 if they do not.
func differ(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) == len(b) {
		return -1
	}
	return min(len(a), len(b))
}

// Read reads a bundle.
func Read(r io.Reader) (*Bundle, error) {
	raw, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return nil, errors.Join(errors.New("reading the bundle"), err)
	}
	return Parse(raw)
}

// Headers gives the headers of the blocks that the bundle's transactions stand
// in, by block. That they are on the zone's ledger is for Verify to say.
func (b *Bundle) Headers() (map[uint64]*ledger.Header, error) {
	entries := append([]Entry{b.Zone, b.Verdict, b.Model.Accepted}, b.Between...)
	for _, s := range b.Segments {
		entries = append(entries, s.Recorded)
	}
	if b.Policy != nil {
		entries = append(entries, b.Policy.Set)
	}
	all := map[uint64]*ledger.Header{}
	for _, e := range entries {
		h, err := ledger.ParseHeader(e.Header)
		if err != nil {
			return nil, err
		}
		if have := all[h.Number]; have != nil && have.Hash() != h.Hash() {
			return nil, fmt.Errorf("the bundle has two headers of block %d", h.Number)
		}
		all[h.Number] = h
	}
	return all, nil
}
