package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/miekg/pkcs11"
)

// What PKCS #11 v3.0 added (section 2.3.5 and its mechanism table).
const (
	keyEdwards     = 0x40   // CKK_EC_EDWARDS
	mechanismEdDSA = 0x1057 // CKM_EDDSA
)

// maxSessions is how many signatures are made at the same time.
const maxSessions = 8

// key is a private key in a token that was logged in to.
type key struct {
	module    *pkcs11.Ctx
	token     string // its label
	file, pin string // where the PIN was read, and the PIN
	handle    pkcs11.ObjectHandle
	name      string // of the mechanism: ECDSA or EDDSA
	mechanism []*pkcs11.Mechanism
	always    bool // the token wants the PIN for each signature
	params    []byte
	point     []byte                    // of the public key, empty if the token does not give it
	sessions  chan pkcs11.SessionHandle // those that are free
}

// open loads the module and finds the key.
func open(w wanted) (*key, error) {
	if _, err := os.Stat(w.Module); err != nil {
		return nil, fmt.Errorf("module-path: %w", err)
	}
	module := pkcs11.New(w.Module)
	if module == nil {
		return nil, fmt.Errorf("module-path: %s cannot be loaded: is it a PKCS #11 module, and for this kind of machine?", w.Module)
	}
	if err := module.Initialize(); err != nil {
		return nil, fmt.Errorf("module %s does not start: %w", w.Module, err)
	}
	k := &key{module: module, file: w.PINFile, sessions: make(chan pkcs11.SessionHandle, maxSessions)}
	slot, info, err := findToken(module, w)
	if err == nil {
		k.token = info.Label
		err = k.login(slot, info)
	}
	if err == nil {
		err = k.find(w)
	}
	if err != nil {
		module.Finalize()
		return nil, err
	}
	return k, nil
}

func (k *key) close() { k.module.Finalize() }

// findToken finds the one token that fits.
func findToken(module *pkcs11.Ctx, w wanted) (slot uint, info pkcs11.TokenInfo, err error) {
	slots, err := module.GetSlotList(true)
	if err != nil {
		return 0, info, fmt.Errorf("looking for tokens: %w", err)
	}
	var there []string
	found := 0
	for _, s := range slots {
		t, err := module.GetTokenInfo(s)
		if err != nil || t.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0 {
			continue
		}
		there = append(there, fmt.Sprintf("%q (serial %s)", t.Label, t.SerialNumber))
		if w.fits(s, t) {
			slot, info = s, t
			found++
		}
	}
	switch {
	case len(there) == 0:
		return 0, info, fmt.Errorf("module %s sees no token: is it plugged in, and may this user use it?", w.Module)
	case found == 0:
		return 0, info, fmt.Errorf("none of the tokens is the one that was named; there are %s", strings.Join(there, ", "))
	case found > 1:
		return 0, info, fmt.Errorf("%d tokens fit; name one by serial=; there are %s", found, strings.Join(there, ", "))
	}
	return slot, info, nil
}

// fits compares what is said of a token; what is not said fits all.
func (w wanted) fits(slot uint, t pkcs11.TokenInfo) bool {
	for _, p := range [][2]string{{w.Token, t.Label}, {w.Manufacturer, t.ManufacturerID}, {w.Model, t.Model}, {w.Serial, t.SerialNumber}} {
		if p[0] != "" && p[0] != strings.TrimRight(p[1], "\x00") {
			return false
		}
	}
	return w.Slot == nil || *w.Slot == slot
}

// login opens the sessions and logs in once, which counts for all of them.
func (k *key) login(slot uint, info pkcs11.TokenInfo) error {
	first, err := k.module.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
	if err != nil {
		return fmt.Errorf("token %q: opening a session: %w", info.Label, err)
	}
	k.sessions <- first
	if err := mayLogin(info, k.file); err != nil {
		return err
	}
	if k.file != "" {
		if k.pin, err = readPIN(k.file); err != nil {
			return err
		}
		if err := k.module.Login(first, pkcs11.CKU_USER, k.pin); err != nil {
			return refused(k.token, k.file, err)
		}
	}
	for range maxSessions - 1 {
		s, err := k.module.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
		if err != nil {
			break // the token has no more of them
		}
		k.sessions <- s
	}
	return nil
}

// mayLogin refuses to try a PIN where a wrong one would do harm.
func mayLogin(info pkcs11.TokenInfo, file string) error {
	switch {
	case info.Flags&pkcs11.CKF_LOGIN_REQUIRED != 0 && file == "":
		return &failure{codePIN, fmt.Errorf("token %q asks for a PIN: name a file with it, readable by its owner only, by pin-source=file:/PATH", info.Label)}
	case file == "":
		return nil
	case info.Flags&pkcs11.CKF_USER_PIN_LOCKED != 0:
		return &failure{codePIN, fmt.Errorf("token %q is locked, after too many wrong PINs: unlock it with its vendor's program", info.Label)}
	case info.Flags&pkcs11.CKF_USER_PIN_FINAL_TRY != 0:
		return &failure{codePIN, fmt.Errorf("token %q would be locked by one more wrong PIN, so the one in %s is not tried: log in once with the vendor's program, which shows that it is right and gives all tries back", info.Label, file)}
	}
	return nil
}

// refused says why a login failed. A PIN that was refused is not tried again.
func refused(token, file string, err error) error {
	var code pkcs11.Error
	if errors.As(err, &code) && slices.Contains([]pkcs11.Error{pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE,
		pkcs11.CKR_PIN_EXPIRED, pkcs11.CKR_PIN_LOCKED, pkcs11.CKR_USER_PIN_NOT_INITIALIZED}, code) {
		return &failure{codePIN, fmt.Errorf("token %q does not take the PIN in %s; it is not tried again, because wrong PINs lock a token: %w", token, file, err)}
	}
	return fmt.Errorf("token %q: logging in: %w", token, err)
}

// maxPIN bounds the file with the PIN, in bytes.
const maxPIN = 256

// readPIN reads a PIN that only its owner may read; a line end behind it is not
// part of it.
func readPIN(file string) (string, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return "", fmt.Errorf("pin-source: %w", err)
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("pin-source: %s is not a file", file)
	case info.Mode().Perm()&0o077 != 0:
		return "", fmt.Errorf("pin-source: others may use %s (mode %04o); allow only its owner: chmod 600 %s", file, info.Mode().Perm(), file)
	case info.Size() > maxPIN:
		return "", fmt.Errorf("pin-source: %s has %d bytes; it should hold the PIN and nothing else", file, info.Size())
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("pin-source: %w", err)
	}
	pin := strings.TrimRight(string(b), "\r\n")
	if pin == "" || strings.ContainsAny(pin, "\r\n\x00") {
		return "", fmt.Errorf("pin-source: %s should hold the PIN on one line and nothing else", file)
	}
	return pin, nil
}

// find finds the one private key that fits, and what it can do.
func (k *key) find(w wanted) error {
	s := <-k.sessions
	defer func() { k.sessions <- s }()
	template := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY)}
	if w.Object != "" {
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_LABEL, w.Object))
	}
	if len(w.ID) > 0 {
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_ID, w.ID))
	}
	handles, err := k.objects(s, template)
	switch {
	case err != nil:
		return fmt.Errorf("token %q: looking for the key: %w", k.token, err)
	case len(handles) == 0:
		return fmt.Errorf("token %q has no such private key; %s", k.token, k.labels(s))
	case len(handles) > 1:
		return fmt.Errorf("token %q has %d private keys that fit: name one by object= and id=", k.token, len(handles))
	}
	k.handle = handles[0]
	switch kind := k.number(s, k.handle, pkcs11.CKA_KEY_TYPE); kind {
	case pkcs11.CKK_EC:
		k.name, k.mechanism = "ECDSA", []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil)}
	case keyEdwards:
		k.name, k.mechanism = "EDDSA", []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanismEdDSA, nil)}
	default:
		return fmt.Errorf("token %q: the key is of type %#x: want an elliptic curve, P-256 or Ed25519", k.token, kind)
	}
	k.always = bytes.Equal(k.attribute(s, k.handle, pkcs11.CKA_ALWAYS_AUTHENTICATE), []byte{1})
	k.params = k.attribute(s, k.handle, pkcs11.CKA_EC_PARAMS)
	k.point = k.publicPoint(s)
	return nil
}

// publicPoint reads the public key that goes with the private one, if it is there.
func (k *key) publicPoint(s pkcs11.SessionHandle) []byte {
	id := k.attribute(s, k.handle, pkcs11.CKA_ID)
	handles, err := k.objects(s, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY), pkcs11.NewAttribute(pkcs11.CKA_ID, id)})
	if err != nil || len(handles) != 1 || len(id) == 0 {
		return nil
	}
	return k.attribute(s, handles[0], pkcs11.CKA_EC_POINT)
}

// maxObjects is how many objects of a token are looked at.
const maxObjects = 20

func (k *key) objects(s pkcs11.SessionHandle, template []*pkcs11.Attribute) ([]pkcs11.ObjectHandle, error) {
	if err := k.module.FindObjectsInit(s, template); err != nil {
		return nil, err
	}
	handles, _, err := k.module.FindObjects(s, maxObjects)
	return handles, errors.Join(err, k.module.FindObjectsFinal(s))
}

// labels lists the private keys of the token.
func (k *key) labels(s pkcs11.SessionHandle) string {
	handles, err := k.objects(s, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY)})
	if err != nil || len(handles) == 0 {
		return "it shows no private key at all"
	}
	var all []string
	for _, h := range handles {
		all = append(all, fmt.Sprintf("object=%s;id=%s", k.attribute(s, h, pkcs11.CKA_LABEL), percent(k.attribute(s, h, pkcs11.CKA_ID))))
	}
	return "it has " + strings.Join(all, ", ")
}

// percent writes bytes as an id in a URI.
func percent(b []byte) string {
	var out strings.Builder
	for _, c := range b {
		fmt.Fprintf(&out, "%%%02x", c)
	}
	return out.String()
}

// attribute gives an attribute's value, nil if the token does not tell it.
func (k *key) attribute(s pkcs11.SessionHandle, h pkcs11.ObjectHandle, kind uint) []byte {
	got, err := k.module.GetAttributeValue(s, h, []*pkcs11.Attribute{pkcs11.NewAttribute(kind, nil)})
	if err != nil || len(got) != 1 {
		return nil
	}
	return got[0].Value
}

// number gives an attribute that is a CK_ULONG, which is as wide as a pointer.
func (k *key) number(s pkcs11.SessionHandle, h pkcs11.ObjectHandle, kind uint) uint64 {
	switch b := k.attribute(s, h, kind); len(b) {
	case 4:
		return uint64(binary.NativeEndian.Uint32(b))
	case 8:
		return binary.NativeEndian.Uint64(b)
	}
	return 1<<64 - 1
}

// sign signs a digest (ECDSA: the answer is r and s, each as long as the curve's
// order) or a message (EDDSA).
func (k *key) sign(s pkcs11.SessionHandle, data []byte) ([]byte, error) {
	err := k.module.SignInit(s, k.mechanism, k.handle)
	if err == nil && k.always {
		if err := k.module.Login(s, pkcs11.CKU_CONTEXT_SPECIFIC, k.pin); err != nil {
			return nil, lost(refused(k.token, k.file, err))
		}
	}
	var signature []byte
	if err == nil {
		signature, err = k.module.Sign(s, data)
	}
	if err != nil {
		return nil, lost(fmt.Errorf("the token does not sign: %w", err))
	}
	return signature, nil
}

// lost marks the errors after which this process is of no use any more.
func lost(err error) error {
	var code pkcs11.Error
	if errors.As(err, &code) && slices.Contains([]pkcs11.Error{pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED, pkcs11.CKR_DEVICE_ERROR, pkcs11.CKR_DEVICE_MEMORY,
		pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_FUNCTION_FAILED, pkcs11.CKR_GENERAL_ERROR, pkcs11.CKR_HOST_MEMORY, pkcs11.CKR_KEY_HANDLE_INVALID,
		pkcs11.CKR_OBJECT_HANDLE_INVALID, pkcs11.CKR_SESSION_CLOSED, pkcs11.CKR_SESSION_HANDLE_INVALID, pkcs11.CKR_TOKEN_NOT_PRESENT,
		pkcs11.CKR_USER_NOT_LOGGED_IN}, code) {
		return &failure{codeGone, err}
	}
	return err
}
