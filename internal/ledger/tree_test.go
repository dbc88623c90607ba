package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"

	"bellwether/internal/zone"
)

func leaves(n int) []zone.Hash {
	all := make([]zone.Hash, n)
	for i := range all {
		all[i] = LeafHash(binary.BigEndian.AppendUint64(nil, uint64(i)))
	}
	return all
}

// plainRoot is the definition in RFC 6962, section 2.1, written down.
func plainRoot(hashes []zone.Hash) zone.Hash {
	switch len(hashes) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return hashes[0]
	}
	k := 1
	for 2*k < len(hashes) {
		k *= 2
	}
	left, right := plainRoot(hashes[:k]), plainRoot(hashes[k:])
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

// TestTree grows a tree beyond its tiles; root and paths must be those of the
// definition.
func TestTree(t *testing.T) {
	all := leaves(1100)
	var tree Tree
	for n := range all {
		if tree.Size() != uint64(n) {
			t.Fatalf("size %d, want %d", tree.Size(), n)
		}
		if n < 40 || n%97 == 0 || n&(n-1) == 0 {
			checkTree(t, &tree, all[:n])
		}
		tree.Append(all[n])
	}
	checkTree(t, &tree, all)
}

func checkTree(t *testing.T, tree *Tree, all []zone.Hash) {
	t.Helper()
	root := tree.Root()
	if root != plainRoot(all) || root != RootOfHashes(all) {
		t.Fatalf("root of %d leaves is wrong", len(all))
	}
	for i := 0; i < len(all); i += 1 + len(all)/50 {
		asked := 0
		path, err := tree.Path(uint64(i), func(j uint64) (zone.Hash, error) {
			asked++
			return all[j], nil
		})
		if err != nil || asked > 510 {
			t.Fatalf("path of %d in %d: %v, asked for %d leaves", i, len(all), err, asked)
		}
		if err := VerifyInclusion(root, uint64(i), uint64(len(all)), all[i], path); err != nil {
			t.Fatalf("path of %d in %d: %v", i, len(all), err)
		}
		if len(all) > 1 && VerifyInclusion(root, uint64(i), uint64(len(all)), all[(i+1)%len(all)], path) == nil {
			t.Fatalf("path of %d in %d proves another leaf", i, len(all))
		}
	}
}

func TestRootOf(t *testing.T) {
	if got, want := RootOf(nil), zone.Hash(sha256.Sum256(nil)); got != want {
		t.Errorf("of nothing: %s", got)
	}
	if got, want := RootOf([][]byte{{}}), zone.Hash(sha256.Sum256([]byte{0})); got != want {
		t.Errorf("of an empty leaf: %s", got)
	}
	if RootOf([][]byte{[]byte("a"), []byte("b")}) == RootOf([][]byte{[]byte("b"), []byte("a")}) {
		t.Error("order is not in the root")
	}
}

func TestInclusionPath(t *testing.T) {
	all := leaves(300)
	for _, i := range []uint64{0, 1, 255, 256, 299} {
		if err := VerifyInclusion(RootOfHashes(all), i, 300, all[i], InclusionPath(all, i)); err != nil {
			t.Errorf("leaf %d: %v", i, err)
		}
	}
}

func TestPathErrors(t *testing.T) {
	var tree Tree
	for _, h := range leaves(10) {
		tree.Append(h)
	}
	broken := errors.New("broken")
	if _, err := tree.Path(10, nil); err == nil {
		t.Error("a path of a leaf that is not there")
	}
	if _, err := tree.Path(1, func(uint64) (zone.Hash, error) { return zone.Hash{}, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkTreeAppend(b *testing.B) {
	var tree Tree
	leaf := LeafHash(nil)
	b.ReportAllocs()
	for b.Loop() {
		tree.Append(leaf)
	}
}
