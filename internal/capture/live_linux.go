package capture

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"bellwether/internal/packet"
)

// Live is a capture from a network interface, through a memory-mapped ring of
// an AF_PACKET socket (TPACKET_V3, see packet(7) and the kernel's
// packet_mmap.rst). It sees what the interface receives and what this machine
// sends through it, forwarded frames included; on the loopback interface, which
// shows each frame both ways, only the received copy. A VLAN tag that the
// kernel took out is put back.
type Live struct {
	iface    string
	index    int
	fd       int // AF_PACKET socket
	wake     int // eventfd that ends a waiting Next
	link     packet.LinkType
	loopback bool

	mu     sync.Mutex // held by Next, and by Close while it unmaps the ring
	ring   ring
	frame  []byte // the frame last delivered
	failed error

	closed    atomic.Bool
	delivered atomic.Uint64

	statsMu sync.Mutex
	stats   LiveStats // the kernel's counters start again at each reading
}

// OpenLive starts capturing from an interface. It needs CAP_NET_RAW. The error
// says what to do: about the permission, an interface that is not there (with
// the list of those that are), is down, or is of an unsupported kind.
func OpenLive(iface string, opts LiveOptions) (*Live, error) {
	geometry, err := opts.geometry()
	if err != nil {
		return nil, err
	}
	dev, err := upInterface(iface)
	if err != nil {
		return nil, err
	}
	l := &Live{iface: iface, index: dev.Index, fd: -1, wake: -1, loopback: dev.Flags&net.FlagLoopback != 0}
	if err = l.open(geometry, opts.Promiscuous); err != nil {
		l.release()
		return nil, err
	}
	return l, nil
}

func (l *Live) open(g geometry, promiscuous bool) (err error) {
	l.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("capture from %s: no permission: run as root, or once `setcap cap_net_raw+ep` on the program: %w", l.iface, err)
	}
	if err != nil {
		return fmt.Errorf("capture from %s: packet socket: %w", l.iface, err)
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("capture from %s: eventfd: %w", l.iface, err)
	}
	if l.ring, err = newRing(l.fd, g); err != nil {
		return fmt.Errorf("capture from %s: %w", l.iface, err)
	}
	l.frame = make([]byte, vlanTag+g.snapLen)
	if promiscuous {
		mreq := &unix.PacketMreq{Ifindex: int32(l.index), Type: unix.PACKET_MR_PROMISC}
		if err = unix.SetsockoptPacketMreq(l.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, mreq); err != nil {
			return fmt.Errorf("capture from %s: promiscuous mode: %w", l.iface, err)
		}
	}
	return l.bind()
}

// bind lets frames in, and learns from the socket's own address what link
// layer they have.
func (l *Live) bind() error {
	all := uint16(unix.ETH_P_ALL)
	addr := &unix.SockaddrLinklayer{Protocol: all<<8 | all>>8, Ifindex: l.index}
	if isBigEndian() {
		addr.Protocol = all
	}
	if err := unix.Bind(l.fd, addr); err != nil {
		return fmt.Errorf("capture from %s: bind: %w", l.iface, err)
	}
	name, err := unix.Getsockname(l.fd)
	if err != nil {
		return fmt.Errorf("capture from %s: socket address: %w", l.iface, err)
	}
	own, ok := name.(*unix.SockaddrLinklayer)
	if !ok {
		return fmt.Errorf("capture from %s: socket address is a %T", l.iface, name)
	}
	switch own.Hatype {
	case unix.ARPHRD_ETHER, unix.ARPHRD_LOOPBACK:
		l.link = packet.LinkEthernet
	case unix.ARPHRD_NONE, unix.ARPHRD_RAWIP:
		l.link = packet.LinkRaw
	default:
		return fmt.Errorf("capture from %s: hardware type %d is not supported: want Ethernet, loopback or raw IP", l.iface, own.Hatype)
	}
	return nil
}

// Next waits for the next frame. fr.Data is valid until the next call. It
// returns [ErrTimeout] after a silence, and os.ErrClosed once Close was called.
// An interface that goes down is an error too; after it Next may be called
// again, and goes on when the interface is back up, unless it was removed.
func (l *Live) Next(fr *Frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if l.closed.Load() {
			return os.ErrClosed
		}
		if l.failed != nil {
			return l.failed
		}
		switch h, ok := l.ring.next(); {
		case !ok:
			if err := l.wait(); err != nil {
				return err
			}
		case l.loopback && h.outgoing():
		default:
			l.deliver(h, fr)
			return nil
		}
	}
}

// vlanTag is the length of an 802.1Q tag, macPair that of what precedes it.
const (
	vlanTag = 4
	macPair = 12
)

// deliver copies a frame out of the ring, with its VLAN tag.
func (l *Live) deliver(h ringFrame, fr *Frame) {
	data, length := h.data(), h.length()
	tpid, tci, tagged := h.vlan()
	if tagged && l.link == packet.LinkEthernet && len(data) >= macPair {
		n := copy(l.frame, data[:macPair])
		n += copy(l.frame[n:], []byte{byte(tpid >> 8), byte(tpid), byte(tci >> 8), byte(tci)})
		n += copy(l.frame[n:], data[macPair:])
		fr.Data, length = l.frame[:n], length+vlanTag
	} else {
		fr.Data = l.frame[:copy(l.frame, data)]
	}
	fr.Time, fr.Link, fr.Length = h.time(), l.link, max(length, len(fr.Data))
	l.delivered.Add(1)
}

// wait blocks until a block of the ring is ready, Close is called, or something
// is wrong.
func (l *Live) wait() error {
	fds := [2]unix.PollFd{
		{Fd: int32(l.fd), Events: unix.POLLIN | unix.POLLERR},
		{Fd: int32(l.wake), Events: unix.POLLIN},
	}
	n, err := unix.Poll(fds[:], int(LiveTimeout.Milliseconds()))
	switch {
	case err == unix.EINTR:
		return nil
	case err != nil:
		return fmt.Errorf("capture from %s: poll: %w", l.iface, err)
	case n == 0:
		return ErrTimeout
	case fds[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0:
		return l.socketError()
	}
	return nil
}

// socketError takes the pending error off the socket and says what it means.
func (l *Live) socketError() error {
	errno, err := unix.GetsockoptInt(l.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err != nil:
		return fmt.Errorf("capture from %s: socket error: %w", l.iface, err)
	case errno == 0:
		return nil
	case unix.Errno(errno) != unix.ENETDOWN:
		return fmt.Errorf("capture from %s: %w", l.iface, unix.Errno(errno))
	}
	if _, err := net.InterfaceByIndex(l.index); err != nil {
		l.failed = fmt.Errorf("capture from %s: the interface was removed: %w", l.iface, unix.ENETDOWN)
		return l.failed
	}
	return fmt.Errorf("capture from %s: the interface went down: bring it up with `ip link set %s up`: %w", l.iface, l.iface, unix.ENETDOWN)
}

// Stats gives the counts so far. It may be called from any goroutine.
func (l *Live) Stats() (LiveStats, error) {
	l.statsMu.Lock()
	defer l.statsMu.Unlock()
	if !l.closed.Load() {
		if err := l.readStats(); err != nil {
			return l.stats, err
		}
	}
	l.stats.Delivered = l.delivered.Load()
	return l.stats, nil
}

func (l *Live) readStats() error {
	s, err := unix.GetsockoptTpacketStatsV3(l.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return fmt.Errorf("capture from %s: statistics: %w", l.iface, err)
	}
	l.stats.Received += uint64(s.Packets)
	l.stats.KernelDrops += uint64(s.Drops)
	l.stats.RingFreezes += uint64(s.Freeze_q_cnt)
	return nil
}

// Close ends the capture, and a Next that waits in another goroutine. The last
// frame delivered stays valid, and Stats keeps the last counts.
func (l *Live) Close() error {
	l.statsMu.Lock()
	if l.closed.Load() {
		l.statsMu.Unlock()
		return nil
	}
	err := l.readStats()
	l.closed.Store(true)
	l.statsMu.Unlock()
	one := [8]byte{0: 1, 7: 1} // a number other than 0 in either byte order
	if _, werr := unix.Write(l.wake, one[:]); werr != nil {
		err = errors.Join(err, fmt.Errorf("capture from %s: wake: %w", l.iface, werr))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(err, l.release())
}

func (l *Live) release() error {
	var errs []error
	if l.ring.mem != nil {
		errs = append(errs, unix.Munmap(l.ring.mem))
		l.ring.mem = nil
	}
	for _, fd := range []int{l.fd, l.wake} {
		if fd >= 0 {
			errs = append(errs, unix.Close(fd))
		}
	}
	return errors.Join(errs...)
}
