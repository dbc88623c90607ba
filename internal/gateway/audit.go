package gateway

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bellwether/internal/bus"
	"bellwether/internal/contract"
	"bellwether/internal/durable"
	"bellwether/internal/identity"
	"bellwether/internal/journal"
	"bellwether/internal/ledger"
	"bellwether/internal/ledger/embedded"
	"bellwether/internal/ledger/fabric"
	"bellwether/internal/monitor"
	"bellwether/internal/zone"
)

// Audit is what a check of a whole state directory came to.
type Audit struct {
	Zone     zone.Hash `json:"zone"`
	Blocks   uint64    `json:"blocks"`
	Txs      uint64    `json:"transactions"`
	Segments int       `json:"segments"`
	Models   int       `json:"models"`
	Alerts   int       `json:"alerts"`
	// Waiting are segments that the ledger does not hold yet, as a crash may leave them.
	Waiting int `json:"segments_waiting"`
	// Unreceipted are rows of a device in a segment whose place on the ledger the
	// store does not know yet, as a crash may leave them.
	Unreceipted int      `json:"receipts_waiting"`
	Findings    []string `json:"findings"` // where the damage is and what it is
}

// auditor checks a state directory, part by part.
type auditor struct {
	dir      string
	out      Audit
	segments map[rangeKey]entry      // that the ledger records
	known    map[string]bool         // model files that it names
	said     map[zone.Hash]bool      // alerts that it names
	held     map[policyKey]zone.Hash // an alert, by the network policy that it was held against
	given    map[zone.MAC]zone.Hash  // the network policy that it names for a device
}

// policyKey names a network policy of a device.
type policyKey struct {
	device      zone.MAC
	file, names zone.Hash
}

// VerifyState checks every byte of a state directory: the ledger from entry 0,
// then every segment of the store, every model, alert, key and record. It
// changes nothing. The error is for what could not be looked at; what is wrong
// is in Findings.
func VerifyState(ctx context.Context, dir string, anchor ed25519.PublicKey, progress func(stage string, done, total int64)) (*Audit, error) {
	if err := prepareDir(dir, true); err != nil {
		if _, statErr := os.Stat(filepath.Join(dir, formatFile)); statErr != nil {
			return nil, err
		}
		return &Audit{Findings: []string{err.Error()}}, nil
	}
	lock, err := lockDir(ctx, dir, nil)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	return verifyState(ctx, dir, anchor, progress)
}

// verifyState is VerifyState of a directory that this process has locked.
func verifyState(ctx context.Context, dir string, anchor ed25519.PublicKey, progress func(stage string, done, total int64)) (*Audit, error) {
	a := &auditor{dir: dir, segments: map[rangeKey]entry{}, known: map[string]bool{}, said: map[zone.Hash]bool{}, held: map[policyKey]zone.Hash{}, given: map[zone.MAC]zone.Hash{}}
	if progress == nil {
		progress = func(string, int64, int64) {}
	}
	for _, part := range []func() error{
		func() error { return a.ledger(ctx, anchor, progress) },
		func() error { return a.store(ctx, progress) },
		a.fabric, a.members, a.key, a.models, a.alerts, a.leases, a.trials, a.runs, a.muds, a.strangers,
	} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	return &a.out, nil
}

func (a *auditor) path(parts ...string) string {
	return filepath.Join(append([]string{a.dir}, parts...)...)
}

func (a *auditor) found(format string, args ...any) {
	a.out.Findings = append(a.out.Findings, fmt.Sprintf(format, args...))
}

// ledger checks the chain and reads from it what the other parts must agree with.
func (a *auditor) ledger(ctx context.Context, anchor ed25519.PublicKey, progress func(string, int64, int64)) error {
	r, err := embedded.Verify(ctx, a.path(ledgerDir), anchor, func(done, total int64) { progress("ledger", done, total) })
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	a.out.Zone, a.out.Blocks, a.out.Txs = r.Zone, r.Blocks, r.Txs
	for _, f := range r.Findings {
		a.found("ledger: %s", f)
	}
	for b, err := range embedded.Scan(a.path(ledgerDir)) {
		if err != nil {
			break // reported above
		}
		for i, raw := range b.Txs {
			if tx, err := contract.Parse(raw); err == nil {
				a.note(tx, ledger.Receipt{ID: tx.ID, Block: b.Header.Number, Index: uint32(i)})
			}
		}
	}
	return nil
}

func (a *auditor) note(tx *contract.Signed, at ledger.Receipt) {
	switch body := tx.Body.(type) {
	case *contract.SegmentRecorded:
		a.segments[rangeKey{tx.Device, body.First}] = entry{body.Root, at}
	case *contract.ModelAccepted:
		a.known[body.Digest.String()+".model"] = true
	case *contract.NetworkPolicySet:
		if a.given[tx.Device] = body.Digest; body.Digest == (zone.Hash{}) {
			delete(a.given, tx.Device)
		}
	case *contract.VerdictChanged:
		if body.To == zone.StateMalicious {
			a.said[body.Alert] = true
		}
	}
}

// fabric checks what a ledger on Fabric keeps beside its blocks.
func (a *auditor) fabric() error {
	if !fabric.Here(a.path(ledgerDir)) {
		return nil
	}
	for _, err := range fabric.Damage(a.path(ledgerDir)) {
		a.found("ledger: %v", err)
	}
	for _, err := range journal.Scan(a.path(ledgerDir, connectionFile), connectionKind) {
		if err != nil {
			a.found("ledger: %v", err)
		}
	}
	return nil
}

// members checks what the hub keeps.
func (a *auditor) members() error {
	for _, err := range bus.Damage(a.path(memberDir)) {
		a.found("members: %v", err)
	}
	return nil
}

func (a *auditor) key() error {
	k, err := identity.Load(a.path(keyFile))
	if err != nil {
		a.found("key: %v", err)
		return nil
	}
	for b := range embedded.Scan(a.path(ledgerDir)) {
		if b == nil || len(b.Txs) == 0 {
			break
		}
		tx, err := contract.Parse(b.Txs[0])
		if err != nil {
			break
		}
		if z, ok := tx.Tx.Body.(*contract.ZoneCreated); ok && string(z.Master[:]) != string(k.Ed25519()) {
			a.found("key: %s is not the key of the zone's master", a.path(keyFile))
		}
		break
	}
	return nil
}

func (a *auditor) models() error {
	entries, err := os.ReadDir(a.path(modelDir))
	if err != nil {
		return fmt.Errorf("models: %w", err)
	}
	have := map[string]bool{}
	for _, e := range entries {
		path := a.path(modelDir, e.Name())
		if durable.IsTemporary(e.Name()) {
			continue // a crash left it; the next run removes it
		}
		have[e.Name()] = true
		b, err := os.ReadFile(path)
		if err != nil {
			a.found("model %s: %v", path, err)
			continue
		}
		if sum := sha256.Sum256(b); e.Name() != zone.Hash(sum).String()+".model" {
			a.found("model %s: its contents have the digest %s", path, zone.Hash(sum))
		}
		a.out.Models++
	}
	for name := range a.known {
		if !have[name] {
			a.found("model %s: the ledger names it, the file is missing", strings.TrimSuffix(name, ".model"))
		}
	}
	return nil
}

func (a *auditor) alerts() error {
	have := map[zone.Hash]bool{}
	for rec, err := range journal.Scan(a.path(alertFile), monitor.AlertsKind) {
		if err != nil {
			a.found("alerts: %v", err)
			break
		}
		alert, err := monitor.ParseAlert(rec.Payload)
		if err != nil {
			a.found("alerts: record %d: %v", rec.Number, err)
			continue
		}
		digest, err := alert.Digest()
		if err != nil {
			return err
		}
		have[digest] = true
		if n := alert.Network; n != nil && a.said[digest] {
			a.held[policyKey{alert.Device, n.SHA256, n.Names}] = digest
		}
	}
	for digest := range a.said {
		if !have[digest] {
			a.found("alerts: the ledger names %s, there is no such record", zone.AlertID(digest))
		}
	}
	a.out.Alerts = len(a.said)
	return nil
}

func (a *auditor) leases() error {
	for rec, err := range journal.Scan(a.path(leaseFile), monitor.LeasesKind) {
		if err == nil {
			_, err = monitor.ParseLease(rec.Payload)
		}
		if err != nil {
			a.found("leases: %v", err)
		}
	}
	return nil
}

func (a *auditor) trials() error {
	for rec, err := range journal.Scan(a.path(trialFile), monitor.TrialsKind) {
		if errors.Is(err, fs.ErrNotExist) {
			break // of a version that kept none
		}
		if err == nil {
			_, err = monitor.ParseTrial(rec.Payload)
		}
		if err != nil {
			a.found("trials: %v", err)
		}
	}
	return nil
}

func (a *auditor) runs() error {
	for _, err := range journal.Scan(a.path(runFile), runsKind) {
		if err != nil {
			a.found("runs: %v", err)
		}
	}
	return nil
}

// muds checks the network policies, of which the ledger and alerts say what has to
// be there.
func (a *auditor) muds() error {
	for rec, err := range journal.Scan(a.path(mudFile), mudKind) {
		if errors.Is(err, fs.ErrNotExist) {
			break // no device was given a network policy
		}
		var m MUD
		if err == nil {
			m, err = parseMUD(rec.Payload)
		}
		if err != nil {
			a.found("network policies: %v", err)
			continue
		}
		delete(a.held, policyKey{m.Device, m.SHA256, m.names()})
		if a.given[m.Device] == m.SHA256 {
			delete(a.given, m.Device)
		}
	}
	for device, file := range a.given {
		a.found("network policies: the ledger names %s for %s, of which there is no record", file.Short(), device)
	}
	for key, digest := range a.held {
		a.found("network policies: %s was held against %s of %s, of which there is no record", zone.AlertID(digest), key.file.Short(), key.device)
	}
	return nil
}

// belongs says what may be in a state directory and in its ledger.
func belongs() map[string][]string {
	return map[string][]string{
		"":        {formatFile, lockFile, keyFile, ledgerDir, storeDir, modelDir, alertFile, leaseFile, trialFile, runFile, mudFile, socketFile, memberDir},
		ledgerDir: append(fabric.Files(), connectionFile),
		memberDir: bus.Files(),
	}
}

// strangers finds files that are not part of a state directory, and a lock
// file that is not empty.
func (a *auditor) strangers() error {
	for dir, known := range belongs() {
		entries, err := os.ReadDir(a.path(dir))
		if dir == memberDir && errors.Is(err, fs.ErrNotExist) {
			continue // a zone without members
		}
		if err != nil {
			return fmt.Errorf("state directory: %w", err)
		}
		for _, e := range entries {
			if dir == memberDir && (bus.IsPayloadFile(e.Name()) || durable.IsTemporary(e.Name())) {
				continue
			}
			if !slices.Contains(known, e.Name()) {
				a.found("state directory: %s is not part of it", filepath.Join(dir, e.Name()))
			}
		}
	}
	if info, err := os.Stat(a.path(lockFile)); err == nil && info.Size() != 0 {
		a.found("state directory: %s is not empty", lockFile)
	}
	if info, err := os.Lstat(a.path(socketFile)); err == nil && info.Mode()&os.ModeSocket == 0 {
		a.found("state directory: %s is not a socket", socketFile)
	}
	return nil
}
