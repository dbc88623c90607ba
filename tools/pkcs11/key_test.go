package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"
)

// TestMayLogin: no PIN is tried where a wrong one would lock the token.
func TestMayLogin(t *testing.T) {
	for _, tt := range []struct {
		flags uint
		file  string
		says  string
	}{
		{pkcs11.CKF_LOGIN_REQUIRED, "/pin", ""},
		{pkcs11.CKF_LOGIN_REQUIRED | pkcs11.CKF_USER_PIN_COUNT_LOW, "/pin", ""},
		{pkcs11.CKF_LOGIN_REQUIRED | pkcs11.CKF_USER_PIN_FINAL_TRY, "/pin", "would be locked by one more wrong PIN"},
		{pkcs11.CKF_LOGIN_REQUIRED | pkcs11.CKF_USER_PIN_LOCKED, "/pin", "is locked"},
		{pkcs11.CKF_LOGIN_REQUIRED, "", "asks for a PIN"},
		{0, "", ""},
	} {
		err := mayLogin(pkcs11.TokenInfo{Label: "t", Flags: tt.flags}, tt.file)
		switch f := (*failure)(nil); {
		case tt.says == "":
			if err != nil {
				t.Errorf("flags %#x: %v", tt.flags, err)
			}
		case !errors.As(err, &f) || f.code != codePIN || !strings.Contains(err.Error(), tt.says):
			t.Errorf("flags %#x: %v, want %q", tt.flags, err, tt.says)
		}
	}
}

// TestCodes: which errors of a token are for good, and which end with another process.
func TestCodes(t *testing.T) {
	code := func(err error) string {
		f := &failure{}
		errors.As(err, &f)
		return f.code
	}
	for e, want := range map[uint]string{
		pkcs11.CKR_PIN_INCORRECT: codePIN, pkcs11.CKR_PIN_LOCKED: codePIN, pkcs11.CKR_PIN_EXPIRED: codePIN, pkcs11.CKR_DEVICE_ERROR: "",
	} {
		if got := code(refused("t", "/pin", pkcs11.Error(e))); got != want {
			t.Errorf("a login that fails with %v: code %q, want %q", pkcs11.Error(e), got, want)
		}
	}
	for e, want := range map[uint]string{
		pkcs11.CKR_DEVICE_REMOVED: codeGone, pkcs11.CKR_SESSION_HANDLE_INVALID: codeGone, pkcs11.CKR_USER_NOT_LOGGED_IN: codeGone,
		pkcs11.CKR_DATA_LEN_RANGE: "", pkcs11.CKR_MECHANISM_INVALID: "", pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED: "",
	} {
		if got := code(lost(fmt.Errorf("x: %w", pkcs11.Error(e)))); got != want {
			t.Errorf("a signature that fails with %v: code %q, want %q", pkcs11.Error(e), got, want)
		}
	}
}

func TestFits(t *testing.T) {
	info := pkcs11.TokenInfo{Label: "a b", ManufacturerID: "m", Model: "o", SerialNumber: "12\x00"}
	slot, other := uint(3), uint(4)
	for _, w := range []wanted{{}, {Token: "a b"}, {Serial: "12"}, {Slot: &slot}, {Token: "a b", Manufacturer: "m", Model: "o", Serial: "12", Slot: &slot}} {
		if !w.fits(3, info) {
			t.Errorf("%+v does not fit", w)
		}
	}
	for _, w := range []wanted{{Token: "a"}, {Serial: "1"}, {Slot: &other}, {Token: "a b", Model: "x"}} {
		if w.fits(3, info) {
			t.Errorf("%+v fits", w)
		}
	}
}

func TestReadPIN(t *testing.T) {
	for text, want := range map[string]string{"1234": "1234", "1234\n": "1234", "1234\r\n": "1234", " 12 34 ": " 12 34 ", "": "", "\n": "", "1\n2": "", "1\x00": ""} {
		path := filepath.Join(t.TempDir(), "pin")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readPIN(path); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if _, err := readPIN(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a file") {
		t.Errorf("a directory: %v", err)
	}
}

// TestServe: what comes before a key is found is answered, and nothing crashes it.
func TestServe(t *testing.T) {
	for in, want := range map[string]string{
		"":                                  "",
		`{"module":"/nowhere.so"}` + "\n":   "no such file",
		`{"module":"/etc/hostname"}` + "\n": "cannot be loaded",
	} {
		var out bytes.Buffer
		err := serve(strings.NewReader(in), &output{w: &out})
		if !strings.Contains(out.String(), want) || (err == nil) != (want == "") {
			t.Errorf("%q: %v, %q", in, err, out.String())
		}
	}
	if err := serve(strings.NewReader("x\n"), &output{w: &bytes.Buffer{}}); err == nil || !strings.Contains(err.Error(), protocol) {
		t.Errorf("got %v", err)
	}
}
