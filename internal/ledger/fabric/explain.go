package fabric

import (
	"context"
	"errors"
	"fmt"
	"strings"

	gateway "github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"bellwether/internal/ledger/fabric/pkcs11"
)

// trouble is what a peer's answer means, by words in it. Fabric's codes alone do
// not tell: a chaincode that is down and one that refuses are both Aborted.
type trouble struct {
	sign string
	last bool // asking again gives the same answer
	hint string
}

// troubles are looked for in this order.
func troubles() []trouble {
	const clock = "the clocks of this machine and of the peer are more than 15 minutes apart: set the clock"
	return []trouble{
		{"x509:", true, "the peer's TLS certificate is not by fabric.tls_ca, or not for the name in fabric.peer (see fabric.server_name)"},
		{"incorrect timestamp", true, clock},
		{"apart from current server time", true, clock},
		{"identity expired", true, "the certificate in fabric.cert expired: have a new one issued"},
		{"access denied", true, "the peer does not take fabric.cert for a member of fabric.msp with the right to write"},
		{"the channel has no block", false, "another organisation's peer is behind"},
		{"chaincode response 500", true, "the channel and this zone's ledger disagree; does another gateway write to this zone, or is the zone on the channel another one?"},
		{"no orderers", false, "the peer reaches no orderer: are the orderers running?"},
		{"could not launch chaincode", false, "the chaincode service does not run where its package says: see `bellwether chaincode`, and for a network of this machine `bellwether fabric status`"},
		{"no combination of peers", false, "the endorsement policy asks for more organisations than have a peer that runs"},
		{"collect enough transaction endorsements", false, "another organisation's peer does not answer, and the endorsement policy asks for it"},
		{"failed to get config for channel", true, "is fabric.channel right, and did the peer join it?"},
		{"no peers available to evaluate", true, "is fabric.chaincode right, is it committed on the channel, and installed on the peer?"},
		{"connection refused", false, "is the peer running, and fabric.peer right? for a network of this machine see `bellwether fabric status`"},
		{"zero addresses", false, "fabric.peer names no machine that can be found"},
		{"no such host", false, "fabric.peer names no machine that can be found"},
	}
}

// diagnose finds the trouble in an error, nil if it is none that is known.
func diagnose(err error) *trouble {
	text := said(err)
	for _, t := range troubles() {
		if strings.Contains(text, t.sign) {
			return &t
		}
	}
	return nil
}

// transient reports whether the same call may succeed later.
func transient(err error) bool {
	if errors.Is(err, pkcs11.ErrAway) {
		return true
	}
	if _, answer := status.FromError(err); !answer || errors.Is(err, context.Canceled) {
		return false
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Aborted, codes.FailedPrecondition, codes.Unknown:
		t := diagnose(err)
		return t == nil || !t.last
	}
	return false
}

// said is all that an error says: its message and those of its details.
func said(err error) string {
	s, ok := status.FromError(err)
	if !ok {
		return err.Error()
	}
	parts := []string{s.Message()}
	for _, d := range s.Details() {
		if d, ok := d.(*gateway.ErrorDetail); ok {
			parts = append(parts, fmt.Sprintf("%s (%s): %s", d.GetAddress(), d.GetMspId(), d.GetMessage()))
		}
	}
	return strings.Join(parts, "; ")
}

// explain says what went wrong with a call and what to do about it.
func (c *client) explain(err error) error {
	if s := (*signError)(nil); errors.As(err, &s) {
		return s
	}
	hint := ""
	if t := diagnose(err); t != nil {
		hint = "; " + t.hint
	}
	return fmt.Errorf("peer %s: %w%s", c.connection.Peer, &callError{said(err), err}, hint)
}

// callError is an error of a call in the peer's words.
type callError struct {
	text string
	err  error
}

func (e *callError) Error() string { return e.text }
func (e *callError) Unwrap() error { return e.err }
