package follower

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"bellwether/internal/contract"
	"bellwether/internal/durable"
	"bellwether/internal/identity"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// The files of a state directory, which only its owner may read.
const (
	keyFile     = "key"           // the Ed25519 key, see package identity
	sealFile    = "seal"          // the X25519 key that others encrypt to: PEM, PKCS #8
	profileFile = "follower.json" // see profile
	ticketFile  = "ticket"        // the newest ticket, as the master signed it
	outboxFile  = "outbox.log"
	inboxPrefix = "inbox-" // inbox-POSITION.log: what was delivered above that position
	// SocketFile is where a running follower listens, see [Follower.Serve].
	SocketFile = "socket"
)

// profile is who a follower is, and the zone that it belongs to.
type profile struct {
	Member   zone.MemberID `json:"name"`
	Invite   string        `json:"invite,omitempty"`
	Admitted bool          `json:"admitted,omitempty"` // the invite's code has done its work
}

func readProfile(dir string) (p profile, err error) {
	b, err := os.ReadFile(filepath.Join(dir, profileFile))
	if errors.Is(err, os.ErrNotExist) {
		return p, fmt.Errorf("%s holds no follower: make one with `bellwether-follower init --state %s --name NAME`", dir, dir)
	}
	if err != nil {
		return p, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, fmt.Errorf("%s: %w", filepath.Join(dir, profileFile), err)
	}
	if !p.Member.Valid() {
		return p, fmt.Errorf("%s: no follower can be called %q", filepath.Join(dir, profileFile), string(p.Member))
	}
	return p, nil
}

func (p profile) write(dir string) error {
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, profileFile), append(b, '\n'), 0o600)
}

// Init makes a follower's state directory with its keys, or finds it. The same
// name may be given again; another one is an error.
func Init(dir string, name zone.MemberID) (message.Identity, error) {
	none := message.Identity{}
	if _, err := zone.ParseMemberID(string(name)); err != nil {
		return none, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return none, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return none, fmt.Errorf("%s: %w", dir, err)
	}
	defer lock.Close()
	key, err := identity.LoadOrCreate(filepath.Join(dir, keyFile))
	if err != nil {
		return none, err
	}
	if _, err := loadSeal(dir, true); err != nil {
		return none, err
	}
	if _, err := os.Stat(filepath.Join(dir, profileFile)); errors.Is(err, os.ErrNotExist) {
		if err := (profile{Member: name}).write(dir); err != nil {
			return none, err
		}
	}
	p, err := readProfile(dir)
	if err != nil {
		return none, err
	}
	if p.Member != name {
		return none, fmt.Errorf("%s is the follower %q already: take another directory for %q", dir, p.Member, name)
	}
	return message.Identity{Member: p.Member, Key: key.Ed25519()}, nil
}

// Join pins the zone that an invite names, and keeps a ticket if one was handed
// over; nil: none. A follower belongs to one zone; an invite with another address
// or certificate of the same zone takes the place of the former.
func Join(dir string, invite message.Invite, ticket []byte) error {
	p, err := readProfile(dir)
	if err != nil {
		return err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	defer lock.Close()
	if p.Invite != "" {
		old, err := message.ParseInvite(p.Invite)
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(dir, profileFile), err)
		}
		if old.Zone != invite.Zone || old.Master != invite.Master {
			return fmt.Errorf("%s belongs to zone %s already: make another follower for zone %s", dir, old.Zone.Short(), invite.Zone.Short())
		}
	}
	if ticket != nil {
		key, err := identity.Load(filepath.Join(dir, keyFile))
		if err != nil {
			return err
		}
		if _, err := checkTicket(ticket, invite, message.Identity{Member: p.Member, Key: key.Ed25519()}); err != nil {
			return err
		}
		if err := durable.WriteFile(filepath.Join(dir, ticketFile), ticket, 0o600); err != nil {
			return err
		}
	}
	return profile{Member: p.Member, Invite: invite.String()}.write(dir)
}

// checkTicket reads a ticket that has to be by the zone's master for this
// follower.
func checkTicket(raw []byte, zone message.Invite, me message.Identity) (*contract.Ticket, error) {
	t, by, err := contract.ParseTicket(raw)
	switch {
	case err != nil:
		return nil, err
	case [32]byte(by) != zone.Master || t.Zone != zone.Zone:
		return nil, errors.New("the ticket is not by the master of the zone that was joined")
	case t.Member != me.Member || t.Key != [32]byte(me.Key):
		return nil, fmt.Errorf("the ticket is for %s with key %x…, not for this follower", t.Member, t.Key[:4])
	}
	return t, nil
}

const sealBlock = "PRIVATE KEY"

// loadSeal reads the X25519 key, or makes one if it may.
func loadSeal(dir string, create bool) (*ecdh.PrivateKey, error) {
	path := filepath.Join(dir, sealFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && create {
		if b, err = newSeal(); err == nil {
			err = durable.WriteFile(path, b, 0o600)
		}
	}
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(b)
	if block == nil || block.Type != sealBlock || len(rest) > 0 {
		return nil, fmt.Errorf("%s is not a private key in PEM", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	k, ok := key.(*ecdh.PrivateKey)
	if !ok || k.Curve() != ecdh.X25519() {
		return nil, fmt.Errorf("%s is not an X25519 key", path)
	}
	return k, nil
}

func newSeal() ([]byte, error) {
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: sealBlock, Bytes: der}), nil
}
