package contract

import "fmt"

// Code says why a transaction is refused. The set is closed.
type Code string

// The codes, in the order in which a transaction is checked.
const (
	CodeMalformed  Code = "malformed"  // not the canonical bytes of a transaction
	CodeRange      Code = "range"      // a value that no transaction may have
	CodeSignature  Code = "signature"  // not signed by the key it carries
	CodeZone       Code = "zone"       // of another zone, or of one not created yet
	CodeAuthority  Code = "authority"  // signed by another key than the zone's master
	CodeDuplicate  Code = "duplicate"  // the subject's newest transaction is this very one
	CodeOrder      Code = "order"      // its number is not the subject's next
	CodeTransition Code = "transition" // the subject's state does not allow it

	// And of members.
	CodeTicket      Code = "ticket"      // the ticket is not one for this member of this zone
	CodeAssociation Code = "association" // it has not associated
	CodeRevoked     Code = "revoked"     // an operator has ended its membership
	CodeExpired     Code = "expired"     // its ticket was for another epoch, or for blocks that are past
	CodeBehaviour   Code = "behaviour"   // its device is malicious
	CodeRecipient   Code = "recipient"   // there is no such recipient
	CodePolicy      Code = "policy"      // the zone's policy does not allow it, or cannot be read
	CodeUnasked     Code = "unasked"     // it replies to no open request
)

// RejectError says that the contract refuses a transaction, and why. The state
// is as it was before.
type RejectError struct {
	Code   Code
	Reason string
}

func (e *RejectError) Error() string {
	return fmt.Sprintf("transaction rejected (%s): %s", e.Code, e.Reason)
}

func reject(code Code, format string, args ...any) error {
	return &RejectError{Code: code, Reason: fmt.Sprintf(format, args...)}
}
