package bellwether_test

import (
	"crypto/ed25519"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bellwether/internal/backup"
	"bellwether/internal/contract"
	"bellwether/internal/identity"
	"bellwether/internal/journal"
	"bellwether/internal/ledger"
	"bellwether/internal/mud"
	"bellwether/internal/store"
	"bellwether/internal/zone"
)

var rewrite = flag.Bool("rewrite", false, "write docs/format/vectors.txt anew")

const vectorFile = "docs/format/vectors.txt"

const vectorHead = `# Examples for the descriptions in this directory: one "name = value" a line, bytes in
# hexadecimal, text quoted as in Go. A test holds the program against this file:
#   go test -run TestFormatVectors .
# A line that changes is a change of format.
`

// vectors collects the lines of the file.
type vectors struct {
	testing.TB
	b strings.Builder
}

func (v *vectors) bytes(name string, b []byte) { fmt.Fprintf(&v.b, "%s = %x\n", name, b) }
func (v *vectors) text(name, s string)         { fmt.Fprintf(&v.b, "%s = %q\n", name, s) }
func (v *vectors) must(err error) {
	v.Helper()
	if err != nil {
		v.Fatal(err)
	}
}

const vectorTime = zone.Time(1_700_000_000_000_000_000)

func vectorDevice() zone.MAC { return zone.MAC{0x00, 0x00, 0x5e, 0x00, 0x53, 0x01} }

// TestFormatVectors holds the documented examples against what the program
// writes.
func TestFormatVectors(t *testing.T) {
	v := &vectors{TB: t}
	v.b.WriteString(vectorHead)
	seed := make([]byte, ed25519.SeedSize)
	for i := range seed {
		seed[i] = byte(i)
	}
	v.b.WriteString("\n# The master's key, from its seed (RFC 8032).\n")
	v.bytes("seed", seed)
	key := ed25519.NewKeyFromSeed(seed)
	v.bytes("public_key", key.Public().(ed25519.PublicKey))
	v.journal()
	v.ledger(key)
	v.rows()
	v.alert()
	v.share()
	v.members(key)
	if *rewrite {
		v.must(os.WriteFile(vectorFile, []byte(v.b.String()), 0o644))
	}
	want, err := os.ReadFile(vectorFile)
	v.must(err)
	if got := v.b.String(); got != string(want) {
		t.Errorf("the program does not write what %s says; if the format is meant to change, give it a new version and run go test -run TestFormatVectors -rewrite .\n%s", vectorFile, firstLineApart(got, string(want)))
	}
}

func firstLineApart(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d\ngot  %s\nwant %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(g), len(w))
}

func (v *vectors) journal() {
	path := filepath.Join(v.TempDir(), "journal")
	j, err := journal.Open(path, "example", nil)
	v.must(err)
	v.must(j.Append([]byte("hello"), nil))
	v.must(j.Close())
	b, err := os.ReadFile(path)
	v.must(err)
	v.b.WriteString("\n# A journal of kind \"example\" with the records \"hello\" and \"\".\n")
	v.bytes("journal", b)
}

func (v *vectors) ledger(key ed25519.PrivateKey) {
	master := key.Public().(ed25519.PublicKey)
	group := contract.GroupID(master, vectorTime, "Home")
	v.b.WriteString("\n# A zone \"Home\" for smart-home, created at 2023-11-14T22:13:20Z; one second later a\n# device 00:00:5e:00:53:01 called \"Webcam\" is seen. Both stand in block 0.\n")
	v.bytes("group_id", group[:])
	anchor, err := identity.Anchor(ledger.Origin(group), master)
	v.must(err)
	v.text("anchor", anchor)
	state := contract.Memory{}
	var txs [][]byte
	for _, c := range []struct {
		name string
		tx   contract.Tx
	}{
		{"zone_created", contract.Tx{Zone: group, Time: vectorTime, N: 1, Body: &contract.ZoneCreated{Name: "Home", UseCase: "smart-home", Master: [32]byte(master)}}},
		{"device_seen", contract.Tx{Zone: group, Time: vectorTime + 1e9, Device: vectorDevice(), N: 1, Body: &contract.DeviceSeen{Name: "Webcam"}}},
	} {
		raw, err := c.tx.Sign(key)
		v.must(err)
		signed, err := new(contract.Validator).Apply(state, 0, raw)
		v.must(err)
		v.bytes(c.name, raw)
		v.bytes(c.name+".h_id", signed.ID[:])
		txs = append(txs, raw)
	}
	digest, err := contract.Digest(state)
	v.must(err)
	v.bytes("state", digest[:])
	var chain ledger.Chain
	block, err := chain.Seal(key, ledger.Content{Zone: group, Txs: txs, State: digest, Time: vectorTime + 1e9})
	v.must(err)
	hash := block.Header.Hash()
	v.bytes("header", block.Header.Bytes())
	v.bytes("header.hash", hash[:])
	v.bytes("header.signature", block.Signature)
	v.text("checkpoint", string(block.Checkpoint))
	v.bytes("block", block.Bytes())
	in, err := block.Prove(1)
	v.must(err)
	v.bytes("inclusion", in.Bytes())
	v.must(in.Verify(txs[1], master))
	v.b.WriteString("\n# Two seconds later an operator silences all alerts for an hour; the state after that.\n")
	silence := contract.Tx{Zone: group, Time: vectorTime + 3e9, N: 2, Body: &contract.OperatorAction{Action: contract.ActionSilence, Until: vectorTime + 3603e9, Note: "holidays"}}
	raw, err := silence.Sign(key)
	v.must(err)
	_, err = new(contract.Validator).Apply(state, 0, raw)
	v.must(err)
	v.bytes("silence", raw)
	digest, err = contract.Digest(state)
	v.must(err)
	v.bytes("silence.state", digest[:])
	v.b.WriteString("\n# With that as block 1, the handover of the chain.\n")
	second, err := chain.Seal(key, ledger.Content{Zone: group, Txs: [][]byte{raw}, State: digest, Time: vectorTime + 3e9})
	v.must(err)
	over, err := chain.HandOver(state, func(n uint64) (*ledger.Block, error) { return []*ledger.Block{block, second}[n], nil })
	v.must(err)
	v.bytes("handover", over.Bytes())
	_, err = over.Verify(master)
	v.must(err)
}

func (v *vectors) rows() {
	first := zone.Snapshot{Seq: 1, Time: vectorTime, Device: vectorDevice(), SrcMAC: vectorDevice(), DstMAC: zone.MAC{0x00, 0x00, 0x5e, 0x00, 0x53, 0xff},
		Src: netip.MustParseAddr("192.0.2.10"), Dst: netip.MustParseAddr("2001:db8::1"), Proto: 6, SrcPort: 40000, DstPort: 443,
		TCPFlags: 0x18, Length: 1514, Score: math.NaN()}
	for i := range first.Features {
		first.Features[i] = float32(i) / 4
	}
	second := first
	second.Seq, second.Packet, second.Score, second.Label = 2, 1, 0.5, zone.Malicious
	v.b.WriteString("\n# Two snapshots of that device, the first not judged, feature i being i/4; and the\n# Merkle root over both.\n")
	for i, s := range []zone.Snapshot{first, second} {
		leaf := s.LeafHash()
		name := fmt.Sprintf("snapshot_%d", i+1)
		v.bytes(name, s.AppendCanonical(nil))
		v.bytes(name+".leaf_hash", leaf[:])
	}
	root := store.Summarise([]zone.Snapshot{first, second})[0].Root
	v.bytes("rows.root", root[:])
}

func (v *vectors) alert() {
	a := zone.Alert{Device: vectorDevice(), Name: "Webcam", Since: vectorTime, Raised: vectorTime + 1e9, Packet: 7, Reason: zone.ReasonScore,
		Text: "talks to 122 hosts on TCP port 23 in 60 s; never before", Score: 1.5, Threshold: 0.25, Window: 60, Span: 60e9, Flagged: 31,
		First: 1, Last: 40, Rows: 40, Contacts: []zone.SeqID{}, Features: []zone.AlertFeature{{Name: "HH_L0.01_weight", Observed: 12, Low: 1, High: 3.5, Share: 0.5}}}
	b, err := a.Canonical()
	v.must(err)
	digest, err := a.Digest()
	v.must(err)
	v.b.WriteString("\n# An alert record; zone and model are left zero.\n")
	v.text("alert", string(b))
	v.bytes("alert.digest", digest[:])
	v.text("alert.id", zone.AlertID(digest))
	names := map[string][]netip.Addr{"cloud.example": {netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8::7")}}
	a.Network = &zone.AlertNetwork{SHA256: zone.Hash{0xab}, Names: mud.NamesDigest(names), Evidence: zone.NetworkReport{Packets: 39, Inside: 8, Outside: 31, Exempt: 1,
		Named: []zone.Strange{{Proto: 6, Port: 23, Hosts: 30, Packets: 30, First: netip.MustParseAddr("198.51.100.7")}}, More: 1}}
	b, err = a.Canonical()
	v.must(err)
	digest, err = a.Digest()
	v.must(err)
	v.b.WriteString("\n# The same of a device with a network policy, whose names stood for these addresses.\n")
	asJSON, err := json.Marshal(names)
	v.must(err)
	v.text("names", string(asJSON))
	v.text("alert.of_policy", string(b))
	v.bytes("alert.of_policy.digest", digest[:])
}

func (v *vectors) share() {
	s := backup.Share{Zone: [4]byte{0x8c, 0x41, 0xf0, 0x0d}, Backup: backup.ID{1, 2, 3, 4, 5, 6, 7, 8}, Index: 2, Threshold: 3, Of: 5}
	for i := range s.Value {
		s.Value[i] = byte(i * 7)
	}
	v.b.WriteString("\n# A share of a backup's key: number 2 of 5, 3 of which give it.\n")
	v.bytes("share", s.Bytes())
	v.text("share.text", s.Encode())
}
