package bus

import (
	"log/slog"
	"maps"
	"net"
	"sync"
	"time"

	"bellwether/internal/zone"
)

// refusal is why somebody is turned away: a name for the operator's log and counts,
// and the reason. The stranger hears neither.
type refusal struct {
	name   string
	reason string
}

func (r *refusal) Error() string { return r.name + ": " + r.reason }

// The names of refusals at the door. Those of transactions are contract's codes.
const (
	refusedHello   = "hello"          // unreadable, or not signed by the key that it names
	refusedZone    = "zone"           // for another zone
	refusedMaster  = "master"         // for another master
	refusedNonce   = "replay"         // over another connection's nonce: a handshake from before
	refusedBinding = "binding"        // over another TLS connection: somebody is in between
	refusedKey     = "key"            // the name is a member's with another key, or the key another member's
	refusedRevoked = "revoked"        // by an operator
	refusedVerdict = "behaviour"      // its device is malicious
	refusedForged  = "ticket-forged"  // not by this zone's master
	refusedForeign = "ticket-zone"    // of another zone
	refusedStolen  = "ticket-stolen"  // for another key or name
	refusedEpoch   = "ticket-epoch"   // of an epoch that is past
	refusedExpired = "ticket-expired" // for blocks that are past
	refusedOld     = "ticket-old"     // followed by another one
	refusedCode    = "code"           // of an invite that is not open any more, or for another name
	refusedDropped = "dropped"        // an operator turned its request away
	refusedBusy    = "busy"           // too many sessions, or requests
)

// logEvery is how often one name is logged; what comes in between is counted.
const logEvery = time.Second

// refusals counts refusals by name, and logs them, not too often.
type refusals struct {
	log *slog.Logger

	mu     sync.Mutex // guards what follows
	counts map[string]int64
	logged map[string]time.Time
	silent map[string]int64 // since then
}

// note counts a refusal and, if that name was not logged lately, logs it.
func (r *refusals) note(name string, who zone.MemberID, from net.Addr, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts, r.logged, r.silent = map[string]int64{}, map[string]time.Time{}, map[string]int64{}
	}
	r.counts[name]++
	if now := time.Now(); now.Sub(r.logged[name]) >= logEvery {
		r.log.Warn("refused", "refusal", name, "member", who, "from", from, "reason", reason, "more", r.silent[name])
		r.logged[name], r.silent[name] = now, 0
		return
	}
	r.silent[name]++
}

func (r *refusals) all() map[string]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counts)
}
