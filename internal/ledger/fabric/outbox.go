package fabric

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"google.golang.org/protobuf/proto"

	"bellwether/internal/canonical"
	"bellwether/internal/durable"
	"bellwether/internal/journal"
	"bellwether/internal/zone"
)

// outbox is a transaction of Fabric that may be committed or not. The file holds
// the SHA-256 of what follows, and the CBOR array [block uint, ID bstr (32),
// prepared bstr]: the zone's block number, the transaction's ID, and the signed
// bytes as fabric-gateway keeps them.
type outbox struct {
	_        struct{} `cbor:",toarray"`
	Block    uint64
	ID       [32]byte
	Prepared []byte
}

func (o *outbox) write(path string) error {
	body := canonical.MustMarshal(o)
	sum := sha256.Sum256(body)
	return durable.WriteFile(path, append(sum[:], body...), 0o600)
}

// readOutbox gives nil if there is none.
func readOutbox(path string) (*outbox, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o := new(outbox)
	sum := sha256.Sum256(raw[min(len(raw), sha256.Size):])
	if !bytes.HasPrefix(raw, sum[:]) || canonical.Unmarshal(raw[sha256.Size:], o) != nil {
		return nil, fmt.Errorf("%s is damaged: it may hold a block that is not on the channel yet; restore it, or remove it to give that block up", path)
	}
	return o, nil
}

// read gives who made the transaction, a serialized identity, and what it gives to
// the chaincode of that name.
func (o *outbox) read(name string) (by []byte, f found, err error) {
	var tx gateway.PreparedTransaction
	var payload common.Payload
	var header common.SignatureHeader
	if err := errors.Join(proto.Unmarshal(o.Prepared, &tx), proto.Unmarshal(tx.GetEnvelope().GetPayload(), &payload),
		proto.Unmarshal(payload.GetHeader().GetSignatureHeader(), &header)); err != nil {
		return nil, f, fmt.Errorf("%s: %w", outboxFile, err)
	}
	envelope, err := proto.Marshal(tx.GetEnvelope())
	if err != nil {
		return nil, f, err
	}
	f, ours, err := parseEnvelope(envelope, name)
	if err == nil && !ours {
		err = fmt.Errorf("it holds no block for the chaincode %q", name)
	}
	if err != nil {
		return nil, f, fmt.Errorf("%s: %w", outboxFile, err)
	}
	return header.GetCreator(), f, nil
}

// place is where a block of the zone stands on the channel: the CBOR array
// [its number uint, number of Fabric's block uint, ID of the transaction bstr (32)].
// The numbers follow each other. The first is 0, or of the newest block from before
// a migration, for which the handover stands.
type place struct {
	_     struct{} `cbor:",toarray"`
	Block uint64
	At    uint64
	ID    [32]byte
}

func (p place) bytes() []byte { return canonical.MustMarshal(p) }

// origin is the first record of places: the channel that they are on. It is the
// CBOR array [name tstr, chaincode tstr, hash of the channel's first block bstr (32)].
type origin struct {
	_         struct{} `cbor:",toarray"`
	Channel   string
	Chaincode string
	First     zone.Hash
}

// placeOf reads where block n stands, if it was noted.
func (l *Ledger) placeOf(n uint64) (place, bool, error) {
	noted := uint64(l.places.Len())
	if noted < 2 || n < l.first || n-l.first+1 >= noted {
		return place{}, false, nil
	}
	raw, err := l.places.Read(int(n-l.first) + 1)
	if err != nil {
		return place{}, false, err
	}
	var p place
	if err := canonical.Unmarshal(raw, &p); err != nil {
		return place{}, false, fmt.Errorf("%s: place of block %d: %w", placesFile, n, err)
	}
	if p.Block != n {
		return place{}, false, fmt.Errorf("%s: place of block %d: it is of block %d", placesFile, n, p.Block)
	}
	return p, true, nil
}

// placed is the number of the block behind the newest whose place is noted.
func (l *Ledger) placed() uint64 {
	if noted := uint64(l.places.Len()); noted > 1 {
		return l.first + noted - 1
	}
	return 0
}

// readPlace takes a record of the journal of places when that is opened.
func (l *Ledger) readPlace(rec int, raw []byte) error {
	if rec != 1 {
		return nil
	}
	var p place
	if err := canonical.Unmarshal(raw, &p); err != nil {
		return fmt.Errorf("%s: first place: %w", placesFile, err)
	}
	l.first = p.Block
	return nil
}

// Damage looks through the files beside the blocks and gives what is wrong with
// them. It changes nothing.
func Damage(dir string) (found []error) {
	n, next := uint64(0), uint64(0)
	for rec, err := range journal.Scan(filepath.Join(dir, placesFile), placesKind) {
		if err == nil && rec.Number == 0 {
			err = canonical.Unmarshal(rec.Payload, new(origin))
		} else if err == nil {
			var p place
			if err = canonical.Unmarshal(rec.Payload, &p); err == nil && rec.Number > 1 && p.Block != next {
				err = fmt.Errorf("it is of block %d, not %d", p.Block, next)
			}
			next = p.Block + 1
		}
		if err != nil {
			found = append(found, fmt.Errorf("%s, record %d: %w", placesFile, n, err))
		}
		n++
	}
	if _, err := readOutbox(filepath.Join(dir, outboxFile)); err != nil {
		found = append(found, err)
	}
	return found
}
