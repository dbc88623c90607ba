package fabric

import (
	"context"
	"fmt"
	"time"

	"bellwether/internal/ledger/fabric/chaincode"
	"bellwether/internal/zone"
)

// Report is what Check saw.
type Report struct {
	Peer      string    `json:"peer"`
	MSP       string    `json:"msp"`
	Channel   string    `json:"channel"`
	First     zone.Hash `json:"first_block"` // hash of the data of the channel's first block
	Height    uint64    `json:"height"`      // blocks of Fabric
	Chaincode string    `json:"chaincode"`
	Version   string    `json:"version"` // of its rules, the same as this program's
	Subject   string    `json:"identity"`
	Expires   time.Time `json:"expires"` // the identity's certificate
	Token     bool      `json:"token"`   // its private key is in a PKCS #11 token, and signed
}

// Check tries a connection without a ledger: it reads, and writes nothing. The
// error says the first thing that a ledger would fail on, except that its blocks
// are endorsed and ordered, which only writing shows.
func Check(ctx context.Context, o Options) (*Report, error) {
	o.fill()
	ctx, cancel := context.WithTimeout(ctx, o.Patience)
	defer cancel()
	c, err := connect(o)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := c.check(ctx, o); err != nil {
		return nil, fmt.Errorf("fabric check: %w", err)
	}
	r := &Report{Peer: c.connection.Peer, MSP: c.connection.MSP, Channel: c.connection.Channel, Chaincode: c.connection.Chaincode,
		Version: chaincode.Version, Subject: c.signer.cert.Subject.String(), Expires: c.signer.cert.NotAfter, Token: c.signer.token != nil}
	if r.First, err = c.firstBlock(ctx); err != nil {
		return nil, fmt.Errorf("fabric check: %w", err)
	}
	if r.Height, err = c.height(ctx); err != nil {
		return nil, fmt.Errorf("fabric check: %w", err)
	}
	return r, nil
}
