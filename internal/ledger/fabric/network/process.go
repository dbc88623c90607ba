package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"bellwether/internal/ledger/fabric/nodes"
)

// process is one node, running or not.
type process struct {
	name    string
	dir     string // its own
	command []string
	env     []string
	address string // where it listens
	tied    bool
}

// processes gives all nodes in the order in which they start.
func (n *Network) processes(o Options) []*process {
	var all []*process
	for i := range n.spec.Nodes {
		all = append(all, n.orderer(o, i))
	}
	for i := range n.spec.Orgs {
		all = append(all, n.peer(o, i))
	}
	for i := range n.spec.Orgs {
		all = append(all, n.chaincode(o, i))
	}
	return all
}

func (n *Network) orderer(o Options, i int) *process {
	node := n.spec.Nodes[i]
	dir := n.path("nodes", node.Name)
	return &process{name: node.Name, dir: dir, tied: o.Tied, address: n.at(node.Port),
		command: []string{filepath.Join(o.Programs, nodes.Orderer)}, env: []string{"FABRIC_CFG_PATH=" + dir}}
}

func (n *Network) peer(o Options, i int) *process {
	node := n.spec.Orgs[i]
	dir := n.path("nodes", peerName(node))
	return &process{name: peerName(node), dir: dir, tied: o.Tied, address: n.at(node.Peer),
		command: []string{filepath.Join(o.Programs, nodes.Peer), "node", "start"}, env: []string{"FABRIC_CFG_PATH=" + dir}}
}

func (n *Network) chaincode(o Options, i int) *process {
	node := n.spec.Orgs[i]
	dir := n.path("nodes", chaincodeName(node))
	id, _ := os.ReadFile(filepath.Join(dir, "id")) // it is there before the first start
	return &process{name: chaincodeName(node), dir: dir, tied: o.Tied, address: n.at(node.Chaincode),
		command: append(append([]string{}, o.Chaincode...), "--id", string(id), "--listen", n.at(node.Chaincode),
			"--cert", filepath.Join(dir, "tls", "server.crt"), "--key", filepath.Join(dir, "tls", "server.key"))}
}

func peerName(o org) string      { return "peer-" + o.Name }
func chaincodeName(o org) string { return "chaincode-" + o.Name }

// at is where a node listens.
func (n *Network) at(port int) string { return net.JoinHostPort(n.spec.Host, strconv.Itoa(port)) }

func (p *process) file(name string) string { return filepath.Join(p.dir, name) }

// start runs the node, unless it runs already.
func (p *process) start() error {
	if p.pid() != 0 {
		return nil
	}
	if !p.vacant() {
		return fmt.Errorf("start %s: another program listens on %s, which the network's configuration block names; end that one, or make a new network in another directory", p.name, p.address)
	}
	log, err := os.OpenFile(p.file("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	defer log.Close()
	cmd := exec.Command(p.command[0], p.command[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, log, log
	cmd.Env = append(os.Environ(), append(p.env, "FABRIC_LOGGING_SPEC=info")...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if p.tied {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	pid := cmd.Process.Pid
	text := fmt.Sprintf("%d %s\n", pid, started(pid))
	if err := os.WriteFile(p.file("pid"), []byte(text), 0o644); err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", p.name, err), cmd.Process.Kill())
	}
	return cmd.Process.Release()
}

// vacant waits up to 2 s until nobody listens where the node will: threads of a
// killed process end one by one, and the last closes what it listened on.
func (p *process) vacant() bool {
	for range 100 {
		if free(p.address) == nil {
			return true
		}
		time.Sleep(20 * time.Millisecond)
	}
	return false
}

// free reports whether nobody listens on the address.
func free(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}

// pid is the node's process, 0 if it does not run.
func (p *process) pid() int {
	text, err := os.ReadFile(p.file("pid"))
	if err != nil {
		return 0
	}
	number, since, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	pid, err := strconv.Atoi(number)
	if err != nil || since == "" || started(pid) != since {
		return 0
	}
	return pid
}

// started is when the kernel says that a process started, in its own unit; empty
// if it does not run. A process that ended and was not waited for does not run.
func started(pid int) string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, ok := bytes.Cut(raw, []byte(") ")) // the name before may hold anything
	fields := strings.Fields(string(rest))
	if !ok || len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return ""
	}
	return fields[19] // field 22 of proc(5)
}

func (p *process) signal(s syscall.Signal) {
	if pid := p.pid(); pid != 0 {
		syscall.Kill(pid, s) // it may end meanwhile, which is what is wanted
	}
}

// wait returns when the node takes connections.
func (p *process) wait(ctx context.Context, address string) error {
	for {
		if err := p.ended(); err != nil {
			return err
		}
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return conn.Close()
		}
		if pause(ctx, 20*time.Millisecond) != nil {
			return fmt.Errorf("%s does not listen on %s: %w; its log is %s", p.name, address, ctx.Err(), p.file("log"))
		}
	}
}

// ended says that the node was started and does not run.
func (p *process) ended() error {
	if _, err := os.Stat(p.file("pid")); err != nil || p.pid() != 0 {
		return nil
	}
	return fmt.Errorf("%s ended; its log %s says: %s", p.name, p.file("log"), p.tail())
}

// tail is the end of the node's log.
func (p *process) tail() string {
	raw, err := os.ReadFile(p.file("log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// Node is what Status says of one.
type Node struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	PID     int    `json:"pid"`       // 0: it does not run
	RSS     int64  `json:"rss_bytes"` // memory in use
	Log     string `json:"log"`
}

// Status says of every node whether it runs.
func (n *Network) Status() []Node {
	var all []Node
	for _, p := range n.processes(Options{}) {
		pid := p.pid()
		all = append(all, Node{Name: p.name, Address: p.address, PID: pid, RSS: memory(pid), Log: p.file("log")})
	}
	return all
}

// memory is a process's resident set in bytes, 0 if it is not to be had.
func memory(pid int) int64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(raw))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// Kill ends one node at once, as a crash does; Up starts it again.
func (n *Network) Kill(name string) error {
	for _, p := range n.processes(Options{}) {
		if p.name == name {
			p.signal(syscall.SIGKILL)
			for p.pid() != 0 {
				time.Sleep(time.Millisecond)
			}
			return nil
		}
	}
	return fmt.Errorf("the network has no node %q", name)
}

// host is the loopback address of the network in a directory.
func host(dir string) string {
	h := fnv.New32a()
	h.Write([]byte(dir))
	sum := h.Sum(nil)
	return net.IPv4(127, 1+sum[1]%254, sum[2], sum[3]).String() // neither the machine's own 127.0.0.1 nor a broadcast
}

// ports finds n ports of the network's address on which nobody listens, outside of
// those that the kernel gives to connections by itself.
func (n *Network) ports(count int) (found []int, err error) {
	const first, last = 20000, 31999
	for port := first; len(found) < count; port++ {
		if port > last {
			return nil, fmt.Errorf("no %d free ports of %s from %d to %d", count, n.spec.Host, first, last)
		}
		if free(n.at(port)) == nil {
			found = append(found, port)
		}
	}
	return found, nil
}
