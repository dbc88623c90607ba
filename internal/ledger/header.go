package ledger

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"

	"bellwether/internal/canonical"
	"bellwether/internal/zone"
)

const headerDomain = "bellwether/block/1\x00"

// Header commits to a block. Its canonical bytes are the CBOR map
//
//	{1: zone bstr (32), 2: number uint, 3: previous bstr (32),
//	 4: transaction root bstr (32), 5: transactions uint,
//	 6: state bstr (32), 7: time int (ns since 1970)}
type Header struct {
	Zone     zone.Hash `cbor:"1,keyasint"` // the group ID
	Number   uint64    `cbor:"2,keyasint"` // from 0
	Previous zone.Hash `cbor:"3,keyasint"` // Hash of the header before; zero in block 0
	TxRoot   zone.Hash `cbor:"4,keyasint"` // RFC 6962, over the signed transactions
	Txs      uint32    `cbor:"5,keyasint"` // how many; at least 1
	State    zone.Hash `cbor:"6,keyasint"` // digest of the contract's state after the block
	Time     zone.Time `cbor:"7,keyasint"` // newest time of its transactions
}

// Bytes gives the canonical bytes.
func (h *Header) Bytes() []byte { return canonical.MustMarshal(h) }

// ParseHeader reads canonical bytes and nothing else.
func ParseHeader(raw []byte) (*Header, error) {
	h := new(Header)
	if err := decoding.Parse(raw, h); err != nil {
		return nil, fmt.Errorf("block header: %w", err)
	}
	if h.Txs == 0 {
		return nil, errors.New("block header: a block without transactions")
	}
	return h, nil
}

// Hash is the RFC 6962 leaf hash of the canonical bytes. One hash is both the
// link to a block from the next and its leaf in the tree of headers.
func (h *Header) Hash() zone.Hash { return LeafHash(h.Bytes()) }

// Sign gives the Ed25519 signature over "bellwether/block/1\x00" and the
// canonical bytes.
func (h *Header) Sign(s crypto.Signer) ([]byte, error) {
	sig, err := s.Sign(nil, h.signed(), crypto.Hash(0))
	if err != nil {
		return nil, fmt.Errorf("sign block %d: %w", h.Number, err)
	}
	return sig, nil
}

// Verify checks a signature by Sign.
func (h *Header) Verify(pub ed25519.PublicKey, sig []byte) error {
	if len(pub) != ed25519.PublicKeySize || !ed25519.Verify(pub, h.signed(), sig) {
		return errors.New("the header is not signed by that key")
	}
	return nil
}

func (h *Header) signed() []byte { return append([]byte(headerDomain), h.Bytes()...) }

var decoding = canonical.Bounds{Nesting: 4, Pairs: 16, Elements: MaxBlockTxs}.Decoder()
