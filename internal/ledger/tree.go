package ledger

import (
	"bytes"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"bellwether/internal/zone"
)

// LeafHash is the RFC 6962 hash of a leaf: SHA-256(0x00 ‖ data).
func LeafHash(data []byte) zone.Hash { return zone.Hash(rfc6962.DefaultHasher.HashLeaf(data)) }

// RootOf gives the RFC 6962 root over the leaves' data. The root over nothing
// is the SHA-256 of nothing.
func RootOf(leaves [][]byte) zone.Hash {
	var t Tree
	for _, data := range leaves {
		t.Append(LeafHash(data))
	}
	return t.Root()
}

// RootOfHashes gives the RFC 6962 root over leaf hashes.
func RootOfHashes(leafHashes []zone.Hash) zone.Hash {
	var t Tree
	for _, h := range leafHashes {
		t.Append(h)
	}
	return t.Root()
}

// InclusionPath gives the RFC 6962 inclusion proof (section 2.1.1) of the leaf at
// index, which must be one of them.
func InclusionPath(leafHashes []zone.Hash, index uint64) [][]byte {
	var t Tree
	for _, h := range leafHashes {
		t.Append(h)
	}
	path, err := t.Path(index, func(i uint64) (zone.Hash, error) { return leafHashes[i], nil })
	if err != nil {
		panic(err) // the index is out of range
	}
	return path
}

// VerifyInclusion checks an inclusion proof of the leaf at index in a tree of
// that size.
func VerifyInclusion(root zone.Hash, index, size uint64, leaf zone.Hash, path [][]byte) error {
	for _, h := range path {
		if len(h) != len(zone.Hash{}) {
			return fmt.Errorf("a hash of %d bytes in the inclusion proof", len(h))
		}
	}
	return proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, leaf[:], path, root[:])
}

// tileHeight is the height of the lowest subtrees that a Tree remembers.
const tileHeight = 8

// Tree is an RFC 6962 tree that grows. It remembers the roots of complete
// subtrees of 256 leaves and more, about a quarter of a byte for each leaf, and
// asks for leaves again when it needs them. The zero value is empty and ready. It
// is not safe for concurrent use.
type Tree struct {
	edge  *compact.Range
	tiles [][]zone.Hash // tiles[k] holds the complete subtrees of height tileHeight+k
}

// Append adds a leaf by its hash.
func (t *Tree) Append(leaf zone.Hash) {
	if t.edge == nil {
		t.edge = (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	}
	if err := t.edge.Append(bytes.Clone(leaf[:]), t.remember); err != nil {
		panic(err) // a tree of 2^64 leaves
	}
}

func (t *Tree) remember(id compact.NodeID, hash []byte) {
	if id.Level < tileHeight {
		return
	}
	k := int(id.Level - tileHeight)
	if k == len(t.tiles) {
		t.tiles = append(t.tiles, nil)
	}
	t.tiles[k] = append(t.tiles[k], zone.Hash(hash))
}

// Size is the number of leaves.
func (t *Tree) Size() uint64 {
	if t.edge == nil {
		return 0
	}
	return t.edge.End()
}

// Root is the root over all leaves.
func (t *Tree) Root() zone.Hash {
	if t.Size() == 0 {
		return zone.Hash(rfc6962.DefaultHasher.EmptyRoot())
	}
	root, err := t.edge.GetRootHash(nil)
	if err != nil {
		panic(err) // the range begins at 0
	}
	return zone.Hash(root)
}

// Path gives the inclusion proof of the leaf at index. It asks leaf for the
// hashes of at most 510 leaves: those beside the index and at the right end.
func (t *Tree) Path(index uint64, leaf func(i uint64) (zone.Hash, error)) ([][]byte, error) {
	nodes, err := proof.Inclusion(index, t.Size())
	if err != nil {
		return nil, fmt.Errorf("inclusion proof: %w", err)
	}
	hashes := make([][]byte, len(nodes.IDs))
	for i, id := range nodes.IDs {
		h, err := t.node(id, leaf)
		if err != nil {
			return nil, fmt.Errorf("inclusion proof: %w", err)
		}
		hashes[i] = h[:]
	}
	return nodes.Rehash(hashes, rfc6962.DefaultHasher.HashChildren)
}

// node gives the root of a complete subtree.
func (t *Tree) node(id compact.NodeID, leaf func(uint64) (zone.Hash, error)) (zone.Hash, error) {
	if id.Level >= tileHeight {
		return t.tiles[id.Level-tileHeight][id.Index], nil
	}
	var sub Tree
	begin, end := id.Coverage()
	for i := begin; i < end; i++ {
		h, err := leaf(i)
		if err != nil {
			return zone.Hash{}, err
		}
		sub.Append(h)
	}
	return sub.Root(), nil
}
