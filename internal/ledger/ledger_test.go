package ledger

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bellwether/internal/canonical"
	"bellwether/internal/zone"
)

var update = flag.Bool("update", false, "write testdata anew")

func key(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func anchor() ed25519.PublicKey { return key(1).Public().(ed25519.PublicKey) }

// content is what block n is made of: n+1 transactions.
func content(n int) Content {
	c := Content{Zone: zone.Hash{9}, State: zone.Hash{1, byte(n)}, Time: 1_700_000_000_000_000_000 + zone.Time(n)}
	for i := range n + 1 {
		c.Txs = append(c.Txs, fmt.Appendf(nil, "transaction %d of block %d", i, n))
	}
	return c
}

// chain makes n blocks.
func chain(tb testing.TB, n int) (*Chain, []*Block) {
	tb.Helper()
	c := new(Chain)
	blocks := make([]*Block, n)
	for i := range blocks {
		var err error
		if blocks[i], err = c.Seal(key(1), content(i)); err != nil {
			tb.Fatal(err)
		}
	}
	return c, blocks
}

// proved gives a proof of transaction index of block n in a chain of five.
func proved(tb testing.TB, n int, index uint32) (*Inclusion, []byte) {
	tb.Helper()
	c, blocks := chain(tb, 5)
	in, err := c.Prove(uint64(n), index, blocks[4].Checkpoint, func(i uint64) (*Block, error) { return blocks[i], nil })
	if err != nil {
		tb.Fatal(err)
	}
	return in, blocks[n].Txs[index]
}

func TestBlockBytes(t *testing.T) {
	_, blocks := chain(t, 4)
	for _, b := range blocks {
		raw := b.Bytes()
		got, err := ParseBlock(raw)
		if err != nil || !bytes.Equal(got.Bytes(), raw) || got.Check() != nil {
			t.Fatalf("block %d: %v", b.Header.Number, err)
		}
		for at := range raw {
			changed := bytes.Clone(raw)
			changed[at] ^= 1
			if same, err := ParseBlock(changed); err == nil && bytes.Equal(same.Bytes(), raw) {
				t.Fatalf("byte %d of block %d is not part of it", at, b.Header.Number)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	_, blocks := chain(t, 1)
	header := blocks[0].Header.Bytes()
	none := blocks[0].Header
	none.Txs = 0
	for name, raw := range map[string][]byte{
		"empty": {}, "trailing": append(bytes.Clone(header), 0), "cut": header[:len(header)-1],
		"no transactions": none.Bytes(), "null": {0xf6}, "another order": append([]byte{0xa7, 0x02, 0x00}, header[1:]...),
	} {
		if _, err := ParseHeader(raw); err == nil {
			t.Errorf("header %s: taken", name)
		}
	}
	whole := blocks[0].Bytes()
	head, err := canonical.Marshal(blocks[0].Checkpoint)
	if err != nil || !bytes.Contains(whole, head) {
		t.Fatal("the checkpoint is not where the test looks for it")
	}
	for name, raw := range map[string][]byte{
		"empty": {}, "trailing": append(bytes.Clone(whole), 0), "cut": whole[:len(whole)-1], "header": header,
		"null checkpoint": bytes.Replace(whole, head, []byte{0xf6}, 1),
		"many":            append([]byte{0x84, 0x40, 0x40, 0x40}, 0x9a, 0xff, 0xff, 0xff, 0xff),
		"huge":            make([]byte, 2*MaxBlockBytes+1),
	} {
		if _, err := ParseBlock(raw); err == nil {
			t.Errorf("block %s: taken", name)
		}
	}
}

func TestFollow(t *testing.T) {
	_, blocks := chain(t, 3)
	for name, change := range map[string]func(*Block){
		"number":       func(b *Block) { b.Header.Number++ },
		"previous":     func(b *Block) { b.Header.Previous[0] ^= 1 },
		"zone":         func(b *Block) { b.Header.Zone[0] ^= 1 },
		"root":         func(b *Block) { b.Header.TxRoot[0] ^= 1 },
		"count":        func(b *Block) { b.Header.Txs++ },
		"transaction":  func(b *Block) { b.Txs = append([][]byte{[]byte("other")}, b.Txs[1:]...) },
		"one left out": func(b *Block) { b.Txs = b.Txs[1:] },
	} {
		var c Chain
		for _, b := range blocks[:2] {
			if err := c.Follow(b); err != nil {
				t.Fatal(err)
			}
		}
		changed := *blocks[2]
		change(&changed)
		if err := c.Follow(&changed); err == nil {
			t.Errorf("%s: followed", name)
		}
		if err := c.Follow(blocks[2]); err != nil {
			t.Errorf("%s: the true block after it: %v", name, err)
		}
	}
}

// TestSteps breaks a proof at each step; the error must name that step.
func TestSteps(t *testing.T) {
	other := Checkpoint{Zone: zone.Hash{9}, Size: 5, Root: zone.Hash{5}}
	otherHead, err := other.Sign(key(1))
	if err != nil {
		t.Fatal(err)
	}
	resign := func(in *Inclusion) {
		if in.Signature, err = in.Header.Sign(key(1)); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name   string
		change func(in *Inclusion, tx *[]byte)
		step   string
	}{
		{"checkpoint byte", func(in *Inclusion, _ *[]byte) { in.Checkpoint[90] ^= 1 }, StepCheckpoint},
		{"no checkpoint", func(in *Inclusion, _ *[]byte) { in.Checkpoint = nil }, StepCheckpoint},
		{"another zone", func(in *Inclusion, _ *[]byte) { in.Header.Zone[1] = 1; resign(in) }, StepCheckpoint},
		{"checkpoint of other headers", func(in *Inclusion, _ *[]byte) { in.Checkpoint = otherHead }, StepHeaderPath},
		{"header changed, signed again", func(in *Inclusion, _ *[]byte) { in.Header.Time++; resign(in) }, StepHeaderPath},
		{"number", func(in *Inclusion, _ *[]byte) { in.Header.Number = 99; resign(in) }, StepHeaderPath},
		{"header path hash", func(in *Inclusion, _ *[]byte) { in.HeaderPath[1][0] ^= 1 }, StepHeaderPath},
		{"header path cut", func(in *Inclusion, _ *[]byte) { in.HeaderPath = in.HeaderPath[1:] }, StepHeaderPath},
		{"header path hash cut", func(in *Inclusion, _ *[]byte) { in.HeaderPath[0] = in.HeaderPath[0][1:] }, StepHeaderPath},
		{"header signature", func(in *Inclusion, _ *[]byte) { in.Signature[0] ^= 1 }, StepHeader},
		{"no header signature", func(in *Inclusion, _ *[]byte) { in.Signature = nil }, StepHeader},
		{"transaction", func(_ *Inclusion, tx *[]byte) { (*tx)[0] ^= 1 }, StepTxPath},
		{"index", func(in *Inclusion, _ *[]byte) { in.Index++ }, StepTxPath},
		{"index far out", func(in *Inclusion, _ *[]byte) { in.Index = 1 << 31 }, StepTxPath},
		{"transaction path hash", func(in *Inclusion, _ *[]byte) { in.TxPath[0][31] ^= 1 }, StepTxPath},
		{"transaction path longer", func(in *Inclusion, _ *[]byte) { in.TxPath = append(in.TxPath, make([]byte, 32)) }, StepTxPath},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in, tx := proved(t, 3, 1)
			if err := in.Verify(tx, anchor()); err != nil {
				t.Fatal(err)
			}
			in, err := ParseInclusion(in.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			tt.change(in, &tx)
			e := (*StepError)(nil)
			if err := in.Verify(tx, anchor()); !errors.As(err, &e) || e.Step != tt.step || !strings.Contains(err.Error(), tt.step) {
				t.Errorf("got %v, want it to fail at the %s", err, tt.step)
			}
		})
	}
	in, tx := proved(t, 3, 1)
	for _, pub := range []ed25519.PublicKey{key(2).Public().(ed25519.PublicKey), nil, anchor()[:31]} {
		if err := in.Verify(tx, pub); err == nil {
			t.Errorf("verified with the anchor %x", []byte(pub))
		}
	}
}

func TestCheckpointHasOneForm(t *testing.T) {
	head := Checkpoint{Zone: zone.Hash{9}, Size: 12, Root: zone.Hash{1, 2, 3}}
	raw, err := head.Sign(key(1))
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseCheckpoint(raw, head.Zone, anchor())
	if err != nil || *got != head {
		t.Fatalf("got %+v, %v", got, err)
	}
	for at := range raw {
		for mask := 1; mask < 256; mask <<= 1 {
			changed := bytes.Clone(raw)
			changed[at] ^= byte(mask)
			if _, err := ParseCheckpoint(changed, head.Zone, anchor()); err == nil {
				t.Errorf("byte %d changed to %q: taken", at, changed[at])
			}
		}
	}
	for name, other := range map[string][]byte{
		"line more":       append(bytes.Clone(raw), "— x AAAA\n"...),
		"signature twice": append(bytes.Clone(raw), raw[bytes.Index(raw, []byte("—")):]...),
		"long":            append(bytes.Clone(raw), make([]byte, 1000)...),
		"empty":           nil,
	} {
		if _, err := ParseCheckpoint(other, head.Zone, anchor()); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := ParseCheckpoint(raw, zone.Hash{8}, anchor()); err == nil {
		t.Error("taken as another zone's")
	}
}

// failing fails from its nth signature on.
type failing struct {
	ed25519.PrivateKey
	left *int
}

func (f failing) Sign(r io.Reader, m []byte, o crypto.SignerOpts) ([]byte, error) {
	if *f.left--; *f.left < 0 {
		return nil, io.ErrUnexpectedEOF
	}
	return f.PrivateKey.Sign(r, m, o)
}

func TestSealFails(t *testing.T) {
	for n := range 2 {
		left := n
		if _, err := new(Chain).Seal(failing{key(1), &left}, content(0)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after %d signatures: %v", n, err)
		}
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := new(Checkpoint).Sign(other); err == nil {
		t.Error("a checkpoint was signed with an RSA key")
	}
}

// TestGolden holds the format of headers, blocks and proofs.
func TestGolden(t *testing.T) {
	_, blocks := chain(t, 3)
	in, _ := proved(t, 2, 1)
	h := &blocks[2].Header
	got := fmt.Sprintf("header %x\nhash %s\nsignature %x\nblock %x\nproof %x\n%s",
		h.Bytes(), h.Hash(), blocks[2].Signature, blocks[2].Bytes(), in.Bytes(), blocks[2].Checkpoint)
	path := filepath.Join("testdata", "block.golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the format changed; got\n%s\nwant\n%s", got, want)
	}
}

func FuzzParseBlock(f *testing.F) {
	_, blocks := chain(f, 3)
	for _, b := range blocks {
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := ParseBlock(raw)
		if err != nil {
			return
		}
		if !bytes.Equal(b.Bytes(), raw) {
			t.Fatalf("%x is taken, its canonical form is %x", raw, b.Bytes())
		}
		b.Check()
	})
}

func FuzzParseInclusion(f *testing.F) {
	in, tx := proved(f, 3, 1)
	good := in.Bytes()
	f.Add(good)
	f.Add([]byte{0x86, 0x40, 0x40, 0, 0x80, 0x80, 0x40})
	f.Fuzz(func(t *testing.T, raw []byte) {
		in, err := ParseInclusion(raw)
		if err != nil {
			return
		}
		if !bytes.Equal(in.Bytes(), raw) {
			t.Fatalf("%x is taken, its canonical form is %x", raw, in.Bytes())
		}
		if in.Verify(tx, anchor()) == nil && !bytes.Equal(raw, good) {
			t.Fatalf("another proof of the same: %x", raw)
		}
	})
}

func FuzzParseCheckpoint(f *testing.F) {
	head := Checkpoint{Zone: zone.Hash{9}, Size: 12, Root: zone.Hash{1, 2, 3}}
	raw, err := head.Sign(key(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(hex.EncodeToString(raw)))
	f.Fuzz(func(t *testing.T, other []byte) {
		if _, err := ParseCheckpoint(other, head.Zone, anchor()); err == nil && !bytes.Equal(other, raw) {
			t.Fatalf("taken: %q", other)
		}
	})
}
