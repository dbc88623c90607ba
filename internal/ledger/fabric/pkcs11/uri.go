package pkcs11

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
)

// scheme begins every URI of a PKCS #11 object.
const scheme = "pkcs11:"

// Is reports whether a configured key is a URI and not a file.
func Is(key string) bool { return strings.HasPrefix(key, scheme) }

// URI names one private key and the module that reaches it (RFC 7512). As JSON it
// is the first line to the signing program. Empty fields fit every token or key.
type URI struct {
	Module       string  `json:"module"` // file of the shared library
	Token        string  `json:"token,omitempty"`
	Manufacturer string  `json:"manufacturer,omitempty"`
	Model        string  `json:"model,omitempty"`
	Serial       string  `json:"serial,omitempty"`
	Slot         *uint32 `json:"slot,omitempty"`
	Object       string  `json:"object,omitempty"` // label of the key
	ID           []byte  `json:"id,omitempty"`     // CKA_ID of the key
	PINFile      string  `json:"pin_file,omitempty"`
}

const example = "pkcs11:token=TOKEN;object=KEY?module-path=/usr/lib/MODULE.so&pin-source=file:/PATH"

// maxURI bounds a URI, in bytes.
const maxURI = 4096

// Parse reads a URI like
//
//	pkcs11:token=gateway;object=fabric?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/bellwether/pin
//
// Of the path it takes token, manufacturer, model, serial, slot-id, object, id and
// type=private; of the query module-path, which is needed, and pin-source. What
// else the RFC knows is an error, since a key that was named more closely than
// this program can tell would be another one. A PIN in the URI itself is refused. No error repeats
// a value.
func Parse(text string) (URI, error) {
	var u URI
	if len(text) > maxURI {
		return URI{}, fmt.Errorf("the URI has %d bytes: want at most %d", len(text), maxURI)
	}
	rest, ok := strings.CutPrefix(text, scheme)
	if !ok {
		return URI{}, fmt.Errorf("want a URI like %s", example)
	}
	path, query, _ := strings.Cut(rest, "?")
	seen := map[string]bool{}
	if err := errors.Join(attributes(path, ";", seen, u.place), attributes(query, "&", seen, u.access)); err != nil {
		return URI{}, err
	}
	switch {
	case u.Module == "":
		return URI{}, fmt.Errorf("module-path is missing: the URI has to name the token's PKCS #11 module, as in %s", example)
	case u.Object == "" && len(u.ID) == 0:
		return URI{}, fmt.Errorf("neither object= nor id= says which key of the token is meant, as in %s", example)
	}
	return u, nil
}

// attributes hands every NAME=VALUE to set, decoded, each name once.
func attributes(text, separator string, seen map[string]bool, set func(name, value string) error) error {
	if text == "" {
		return nil
	}
	var errs []error
	for part := range strings.SplitSeq(text, separator) {
		name, raw, ok := strings.Cut(part, "=")
		value, err := url.PathUnescape(raw)
		switch {
		case !ok || name == "":
			errs = append(errs, errors.New("a part of the URI is not NAME=VALUE; a \";\", \"&\" or \"?\" within a value is written %3B, %26 or %3F"))
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: a %% is not followed by two hexadecimal digits", name))
		case seen[name]:
			errs = append(errs, fmt.Errorf("%s is there twice", name))
		case strings.ContainsRune(value, 0) && name != "id":
			errs = append(errs, fmt.Errorf("%s holds a zero byte", name))
		default:
			if err := set(name, value); err != nil {
				errs = append(errs, err)
			}
		}
		seen[name] = true
	}
	return errors.Join(errs...)
}

// place takes an attribute of the URI's path.
func (u *URI) place(name, value string) error {
	switch name {
	case "token":
		u.Token = value
	case "manufacturer":
		u.Manufacturer = value
	case "model":
		u.Model = value
	case "serial":
		u.Serial = value
	case "object":
		u.Object = value
	case "id":
		u.ID = []byte(value)
	case "slot-id":
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			return errors.New("slot-id is not a number")
		}
		slot := uint32(n)
		u.Slot = &slot
	case "type":
		if value != "private" {
			return errors.New("type is not private: the gateway signs with a private key")
		}
	default:
		return unknown(name, "token, manufacturer, model, serial, slot-id, object, id and type before the \"?\"")
	}
	return nil
}

// access takes an attribute of the URI's query.
func (u *URI) access(name, value string) (err error) {
	switch name {
	case "module-path":
		u.Module, err = absolute(name, value)
	case "pin-source":
		u.PINFile, err = absolute(name, strings.TrimPrefix(strings.TrimPrefix(value, "file:"), "//"))
	case "pin-value":
		return errors.New("pin-value puts the PIN where others can read it: into the configuration, the state directory and error messages. Write it to a file that only its owner can read, and name that by pin-source=file:/PATH")
	case "module-name":
		return errors.New("module-name is not taken, since it depends on where it is looked for: give module-path=/PATH")
	default:
		return unknown(name, "module-path and pin-source after the \"?\"")
	}
	return err
}

func absolute(name, path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%s is not an absolute path to a file", name)
	}
	return path, nil
}

// unknown names an attribute only if it is one, and not a misplaced value.
func unknown(name, want string) error {
	for _, c := range name {
		if (c < 'a' || c > 'z') && c != '-' {
			return fmt.Errorf("an attribute is not known: want %s", want)
		}
	}
	return fmt.Errorf("%s is not an attribute that is taken there: want %s", name, want)
}
