package pkcs11

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Program is the name of the signing program.
const Program = "bellwether-pkcs11"

// protocol is the version of the lines.
const protocol = "bellwether/pkcs11/1"

// The longest line and the longest message to be signed, in bytes.
const (
	maxLine    = 24 << 20
	maxMessage = 16 << 20
)

// request is a line to the program.
type request struct {
	ID   uint64 `json:"id"`
	Sign []byte `json:"sign"`
}

// answer is a line of the program. The first one has the ID 0.
type answer struct {
	ID        uint64 `json:"id"`
	Protocol  string `json:"protocol"`
	Mechanism string `json:"mechanism"`
	Params    []byte `json:"params"`
	Point     []byte `json:"point"`
	Signature []byte `json:"signature"`
	Error     string `json:"error"`
	Code      string `json:"code"`
}

// The codes of errors.
const (
	codePIN  = "pin"
	codeGone = "gone"
)

// answerError is an error in the program's words.
type answerError struct{ code, text string }

func (e *answerError) Error() string { return e.text }

// find gives the program's file.
func find(named string) (string, error) {
	if named != "" {
		if _, err := os.Stat(named); err != nil {
			return "", fmt.Errorf("signing program: %w", err)
		}
		return named, nil
	}
	if own, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(own), Program)
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	path, err := exec.LookPath(Program)
	if err != nil {
		return "", fmt.Errorf("signing program: there is no %s beside this program or in PATH; build it on this machine with `make pkcs11` in a checkout of Bellwether (it takes Go and a C compiler), or name it by fabric.signer", Program)
	}
	return path, nil
}

// program is a running signing program.
type program struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	said  tail          // on standard error
	wait  time.Duration // for an answer
	ended chan struct{} // closed when the process is gone
	why   error         // set before ended is closed

	writing sync.Mutex // held while a line is written

	mu      sync.Mutex // guards what follows
	last    uint64
	waiting map[uint64]chan<- answer
}

// launch starts the program. A signal from the terminal does not reach it: it ends
// when the gateway has signed what it had to.
func launch(path string, wait time.Duration) (*program, error) {
	p := &program{cmd: exec.Command(path), wait: wait, ended: make(chan struct{}), waiting: map[uint64]chan<- answer{}}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Stderr = &p.said
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.in = in
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.read(out)
	return p, nil
}

// read hands out answers until the program ends, or says what is none.
func (p *program) read(out io.Reader) {
	err := answers(out, func(a answer) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if to := p.waiting[a.ID]; to != nil {
			to <- a
			delete(p.waiting, a.ID)
		}
	})
	p.kill() // it said nothing more, or nothing that is understood
	if ended := p.cmd.Wait(); err == nil {
		err = ended
	}
	p.why = fmt.Errorf("the program ended (%v)%s", err, p.said.String())
	close(p.ended)
}

// answers reads lines until they end or one is no answer.
func answers(r io.Reader, give func(answer)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var a answer
		if json.Unmarshal(lines.Bytes(), &a) != nil {
			return fmt.Errorf("it does not speak %s: is it %s?", protocol, Program)
		}
		give(a)
	}
	return lines.Err()
}

// over says why the program ended, nil while it runs.
func (p *program) over() error {
	select {
	case <-p.ended:
		return p.why
	default:
		return nil
	}
}

// close has the program end, and waits for it.
func (p *program) close() {
	p.in.Close()
	select {
	case <-p.ended:
	case <-time.After(3 * time.Second):
		p.kill()
		<-p.ended
	}
}

// kill ends the program and what it started, which would keep its output open.
func (p *program) kill() { syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }

// open names the key.
func (p *program) open(u URI) (answer, error) {
	a, err := p.call(0, u)
	if err == nil && a.Protocol != protocol {
		err = fmt.Errorf("it speaks %q and this program %q: build it anew", a.Protocol, protocol)
	}
	return a, err
}

// sign gives the signature as the token made it.
func (p *program) sign(data []byte) ([]byte, error) {
	if len(data) > maxMessage {
		return nil, fmt.Errorf("%d bytes are too many to be signed by a token: at most %d", len(data), maxMessage)
	}
	p.mu.Lock()
	p.last++
	id := p.last
	p.mu.Unlock()
	a, err := p.call(id, request{ID: id, Sign: data})
	return a.Signature, err
}

// call writes a line and waits for its answer.
func (p *program) call(id uint64, line any) (answer, error) {
	raw, err := json.Marshal(line)
	if err != nil {
		return answer{}, err
	}
	got := make(chan answer, 1)
	p.mu.Lock()
	p.waiting[id] = got
	p.mu.Unlock()
	go p.write(append(raw, '\n')) // a program that hangs reads nothing
	select {
	case a := <-got:
		return p.judge(a)
	case <-p.ended:
	case <-time.After(p.wait):
		p.kill()
		<-p.ended
		return answer{}, fmt.Errorf("%w: the signing program did not answer for %s", ErrAway, p.wait)
	}
	select {
	case a := <-got: // its last words
		return p.judge(a)
	default:
		return answer{}, fmt.Errorf("%w: %w", ErrAway, p.why)
	}
}

func (p *program) write(line []byte) {
	p.writing.Lock()
	defer p.writing.Unlock()
	p.in.Write(line) // an error is the program's end, which read notices
}

// judge makes an error of an answer that is one.
func (p *program) judge(a answer) (answer, error) {
	if a.Error == "" {
		return a, nil
	}
	err := error(&answerError{a.Code, a.Error})
	if a.Code == codeGone {
		p.kill()
		<-p.ended
		err = fmt.Errorf("%w: %w", ErrAway, err)
	}
	return a, err
}

// tail keeps the end of what was written to it.
type tail struct{ b []byte }

const maxTail = 512

func (t *tail) Write(b []byte) (int, error) {
	t.b = append(t.b, b...)
	t.b = t.b[max(0, len(t.b)-maxTail):]
	return len(b), nil
}

// String gives it, on one line, as the end of a message. Not while it is written to.
func (t *tail) String() string {
	text := strings.Join(strings.Fields(string(bytes.ToValidUTF8(t.b, nil))), " ")
	if text == "" {
		return ""
	}
	return ", saying: " + text
}
