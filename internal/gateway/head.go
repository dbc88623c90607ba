package gateway

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"bellwether/internal/ledger"
	"bellwether/internal/ledger/embedded"
)

// ErrFork is matched by the error of CompareHead when a zone signed two histories.
var ErrFork = errors.New("the zone's ledger has forked")

// ErrBehind is matched by the error of CompareHead when the ledger lacks blocks
// that the zone has signed.
var ErrBehind = errors.New("the ledger lacks blocks")

// newestBlock gives the last block of a state directory's ledger.
func newestBlock(dir string) (*ledger.Block, error) {
	var last *ledger.Block
	for b, err := range embedded.Scan(filepath.Join(dir, ledgerDir)) {
		if err != nil {
			return nil, err
		}
		last = b
	}
	if last == nil {
		return nil, fmt.Errorf("the ledger in %s has no block", dir)
	}
	return last, nil
}

// Head gives the signed checkpoint of the zone's newest block: what others keep, to
// hold a later ledger against it.
func (s *State) Head(ctx context.Context) ([]byte, error) {
	b, err := s.Ledger.Block(ctx, s.Ledger.Height()-1)
	if err != nil {
		return nil, err
	}
	return b.Checkpoint, nil
}

// CompareHead holds a head of the zone that somebody else kept against its
// ledger, and gives the number of blocks that it is over. If the zone signed
// something else there the error matches ErrFork, and ours is the other signed
// checkpoint of the same size: the two together prove it to anybody who has the
// anchor. If the ledger is shorter, it matches ErrBehind.
func (s *State) CompareHead(ctx context.Context, head []byte) (size uint64, ours []byte, err error) {
	c, err := ledger.ParseCheckpoint(head, s.Zone.ID, s.Key.Ed25519())
	if err != nil {
		return 0, nil, fmt.Errorf("not a head of zone %s (%s) under its key: %w", s.Zone.Name, s.Zone.ID.Short(), err)
	}
	if height := s.Ledger.Height(); c.Size > height {
		return c.Size, nil, fmt.Errorf("%w: the zone has signed %d blocks, here are %d; it was cut, or is an older copy, and a master that goes on with it forks the ledger", ErrBehind, c.Size, height)
	}
	if c.Size == 0 {
		return 0, nil, errors.New("the head is of no block")
	}
	b, err := s.Ledger.Block(ctx, c.Size-1)
	if err != nil {
		return c.Size, nil, err
	}
	mine, err := ledger.ParseCheckpoint(b.Checkpoint, s.Zone.ID, s.Key.Ed25519())
	if err != nil {
		return c.Size, nil, err
	}
	if mine.Root != c.Root {
		return c.Size, b.Checkpoint, fmt.Errorf("%w: of its first %d blocks it has signed the roots %s and %s; two masters have written, as when a zone was restored and its old machine went on", ErrFork, c.Size, c.Root.Short(), mine.Root.Short())
	}
	return c.Size, b.Checkpoint, nil
}
