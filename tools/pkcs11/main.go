// Bellwether-pkcs11 signs with a private key in a PKCS #11 token, for a gateway
// that starts it and talks to it by lines on standard input and output.
//
// It is a program of its own because a PKCS #11 module is a shared library of
// some vendor: the gateway stays one static file without C, and a module that
// crashes or hangs takes this process with it and no other. README.md describes
// the lines.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// protocol is the version of the lines; the gateway compares it.
const protocol = "bellwether/pkcs11/1"

// maxLine bounds a line, in bytes: a message of 16 MiB in base64 and what is
// around it.
const maxLine = 24 << 20

// wanted is the first line: which key, and where its PIN is.
type wanted struct {
	Module       string `json:"module"`
	Token        string `json:"token"`
	Manufacturer string `json:"manufacturer"`
	Model        string `json:"model"`
	Serial       string `json:"serial"`
	Slot         *uint  `json:"slot"`
	Object       string `json:"object"`
	ID           []byte `json:"id"`
	PINFile      string `json:"pin_file"`
}

// request is every other line.
type request struct {
	ID   uint64 `json:"id"`
	Sign []byte `json:"sign"`
}

// answer is a line to the gateway.
type answer struct {
	ID        uint64 `json:"id"`
	Protocol  string `json:"protocol,omitempty"`
	Mechanism string `json:"mechanism,omitempty"`
	Params    []byte `json:"params,omitempty"`
	Point     []byte `json:"point,omitempty"`
	Signature []byte `json:"signature,omitempty"`
	Error     string `json:"error,omitempty"`
	Code      string `json:"code,omitempty"`
}

// The codes of errors that the gateway treats differently.
const (
	codePIN  = "pin"  // trying again could lock the token
	codeGone = "gone" // this process lost the token; another one may find it
)

// failure is an error with a code.
type failure struct {
	code string
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func (a answer) with(err error) answer {
	a.Error = err.Error()
	if f := (*failure)(nil); errors.As(err, &f) {
		a.Code = f.code
	}
	return a
}

func main() {
	if len(os.Args) > 1 {
		fmt.Fprint(os.Stderr, `bellwether-pkcs11 signs with a key in a PKCS #11 token. The gateway starts it when ledger.fabric.key
in its configuration begins with pkcs11: it takes no arguments, and is told everything on standard input.
`)
		os.Exit(2)
	}
	// It ends with its standard input, which is when the gateway has done all that
	// it had to sign; a signal to the whole group must not come before that.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	// A PIN is in memory: no core dumps.
	syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	out, err := ownOutput()
	if err == nil {
		err = serve(os.Stdin, &output{w: out})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bellwether-pkcs11:", err)
		os.Exit(1)
	}
}

// ownOutput takes standard output for the answers; what a module prints there goes
// to standard error.
func ownOutput() (*os.File, error) {
	fd, err := syscall.Dup(1)
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "answers"), syscall.Dup3(2, 1, 0)
}

// output writes answers, one line each, of many goroutines.
type output struct {
	mu sync.Mutex
	w  io.Writer
}

func (o *output) write(a answer) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return json.NewEncoder(o.w).Encode(a)
}

// serve opens the token and answers until there are no more requests.
func serve(r io.Reader, out *output) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	if !lines.Scan() {
		return lines.Err()
	}
	var w wanted
	if err := json.Unmarshal(lines.Bytes(), &w); err != nil {
		return fmt.Errorf("the first line is not one of %s: %w", protocol, err)
	}
	k, err := open(w)
	if err != nil {
		return errors.Join(err, out.write(answer{Protocol: protocol}.with(err)))
	}
	defer k.close()
	if err := out.write(answer{Protocol: protocol, Mechanism: k.name, Params: k.params, Point: k.point}); err != nil {
		return err
	}
	var under sync.WaitGroup
	defer under.Wait()
	for lines.Scan() {
		var q request
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return fmt.Errorf("a line is not one of %s: %w", protocol, err)
		}
		s := <-k.sessions // no more is read than there are sessions for
		under.Go(func() {
			a := answer{ID: q.ID}
			if signature, err := k.sign(s, q.Sign); err != nil {
				a = a.with(err)
			} else {
				a.Signature = signature
			}
			k.sessions <- s
			if err := out.write(a); err != nil {
				fmt.Fprintln(os.Stderr, "bellwether-pkcs11:", err)
			}
		})
	}
	return lines.Err()
}
