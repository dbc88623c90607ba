// Package chaincode is the contract as a chaincode of Hyperledger Fabric, run as
// a service: the peers of a channel call it to endorse a zone's blocks.
//
// # What it takes
//
//	append BLOCK     one block of the zone, canonical bytes; gives the header's hash
//	adopt HANDOVER   a zone whose blocks so far are elsewhere; gives its newest header's hash
//	version          gives [Version]
//
// A block comes as one transaction of Fabric. It is endorsed only if everything
// about it holds that can be seen from the channel's state: its form, its
// transactions by the rules of package contract, the root over them, the
// header before it, and the signatures of the zone's master over header and
// checkpoint. Who hands it in does not matter, what the master signed does.
//
// What is not checked here is what would need a read of all state or all
// headers: the digest of the state in the header and the root in the
// checkpoint. Every driver that follows the channel checks both.
//
// A zone that comes from another ledger is adopted by its handover
// ([ledger.Handover]), once, on a channel that has no zone: the master signed the
// newest header and the checkpoint of all headers, these agree with each other,
// and the state that is handed over is the one that the header commits to. How
// that state came about is not to be seen here and stays the master's word.
//
// # State
//
// The contract's own keys ("zone", "device/…", "member/…", "ask/…"), and for each block "block/" and
// its number in 20 digits, with its header's hash. A key of a block is written
// once and no key counts anything, so that blocks never wait for each other
// more than by their own chain: block n reads the key of n-1. Of two blocks with
// one number Fabric keeps one, and the other is invalid for ever
// (MVCC_READ_CONFLICT). Devices of other blocks share no key.
//
// It is deterministic, as package contract is, so that the peers of all
// organisations endorse the same. It uses no private data, no clock, and no
// other chaincode.
package chaincode

import (
	"errors"
	"fmt"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/zone"
)

// Version names the rules that this chaincode endorses by. Two programs that say
// the same give the same answers.
const Version = "bellwether/chaincode/3"

// The functions.
const (
	FunctionAppend  = "append"
	FunctionAdopt   = "adopt"
	FunctionVersion = "version"
)

// Contract answers the peer. It keeps nothing between calls.
type Contract struct{}

var _ shim.Chaincode = Contract{}

// Init has nothing to do.
func (Contract) Init(shim.ChaincodeStubInterface) *peer.Response { return shim.Success(nil) }

// Invoke runs one call.
func (Contract) Invoke(stub shim.ChaincodeStubInterface) *peer.Response {
	out, err := invoke(stub, stub.GetArgs())
	if err != nil {
		return shim.Error(err.Error())
	}
	return shim.Success(out)
}

func invoke(s store, args [][]byte) ([]byte, error) {
	if len(args) == 0 {
		return nil, fmt.Errorf("no function: want %s, %s or %s", FunctionAppend, FunctionAdopt, FunctionVersion)
	}
	switch function := string(args[0]); {
	case function == FunctionVersion && len(args) == 1:
		return []byte(Version), nil
	case function == FunctionAppend && len(args) == 2:
		return appendBlock(s, args[1])
	case function == FunctionAdopt && len(args) == 2:
		return adopt(s, args[1])
	default:
		return nil, fmt.Errorf("function %q with %d arguments: want %s or %s with one, or %s with none", function, len(args)-1, FunctionAppend, FunctionAdopt, FunctionVersion)
	}
}

// store is the part of the peer's stub that is used.
type store interface {
	GetState(key string) ([]byte, error)
	PutState(key string, value []byte) error
	DelState(key string) error
}

// blockKey is where the hash of a block's header is kept.
func blockKey(n uint64) string { return fmt.Sprintf("block/%020d", n) }

func appendBlock(s store, raw []byte) ([]byte, error) {
	b, err := ledger.ParseBlock(raw)
	if err != nil {
		return nil, err
	}
	if err := b.Check(); err != nil {
		return nil, fmt.Errorf("block %d: %w", b.Header.Number, err)
	}
	hash := b.Header.Hash()
	w := &world{store: s, written: map[string][]byte{}}
	for _, check := range []func(*world, *ledger.Block) error{place, apply, signatures} {
		if err := check(w, b); err != nil {
			return nil, fmt.Errorf("block %d: %w", b.Header.Number, err)
		}
	}
	if err := w.Put(blockKey(b.Header.Number), hash[:]); err != nil {
		return nil, err
	}
	return hash[:], w.flush()
}

// place holds the block against the one before, and against one that is there.
func place(w *world, b *ledger.Block) error {
	have, err := w.Get(blockKey(b.Header.Number))
	if err != nil {
		return err
	}
	if have != nil {
		return errors.New("the channel has a block of that number already")
	}
	want := zone.Hash{}
	if n := b.Header.Number; n > 0 {
		before, err := w.Get(blockKey(n - 1))
		if err != nil {
			return err
		}
		if len(before) != len(want) {
			return fmt.Errorf("the channel has no block %d before it", n-1)
		}
		want = zone.Hash(before)
	}
	if b.Header.Previous != want {
		return fmt.Errorf("it follows a header %s, the channel's is %s", b.Header.Previous.Short(), want.Short())
	}
	return nil
}

// apply has the contract take every transaction of the block.
func apply(w *world, b *ledger.Block) error {
	newest := zone.Time(0)
	var v contract.Validator
	for i, raw := range b.Txs {
		tx, err := v.Apply(w, b.Header.Number, raw)
		if err != nil {
			return fmt.Errorf("transaction %d: %w", i, err)
		}
		newest = max(newest, tx.Time)
	}
	if newest != b.Header.Time {
		return fmt.Errorf("its time is %s, its newest transaction's %s", b.Header.Time, newest)
	}
	return nil
}

// signatures checks what the zone's master signed about the block.
func signatures(w *world, b *ledger.Block) error {
	z, _, err := contract.ReadZone(w)
	if err != nil {
		return err
	}
	if b.Header.Zone != z.ID {
		return fmt.Errorf("it is of zone %s, this is %s", b.Header.Zone.Short(), z.ID.Short())
	}
	if err := b.Header.Verify(z.Master[:], b.Signature); err != nil {
		return err
	}
	head, err := ledger.ParseCheckpoint(b.Checkpoint, z.ID, z.Master[:])
	if err != nil {
		return err
	}
	if head.Size != b.Header.Number+1 {
		return fmt.Errorf("its checkpoint is of %d headers", head.Size)
	}
	return nil
}
