package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// wire listens to the loopback interface and notes each AMQP method to and from the
// broker, when it passed. Nothing stands between the programs, so nothing slows them.
// It needs the right to capture packets.
type wire struct {
	socket  int
	port    uint16
	offset  time.Duration     // from CLOCK_MONOTONIC, which test/bench/stamp uses, to that of packets
	streams map[stream][]byte // what is left of a frame
	seen    []method
}

// stream is one direction of a connection.
type stream struct {
	client uint16 // its port
	sends  bool   // the client does
}

// method is an AMQP method.
type method struct {
	stream
	at   time.Duration // on CLOCK_MONOTONIC
	name string        // such as queue.declare
}

// listen begins to keep what passes, up to 16 MiB of packets.
func listen() (*wire, error) {
	address, err := url.Parse(os.Getenv("AMQPRUN_URL"))
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(address.Port())
	if err != nil {
		return nil, err
	}
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		return nil, err
	}
	all := htons(unix.ETH_P_ALL)
	socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(all))
	if err != nil {
		return nil, fmt.Errorf("capture packets: %w", err)
	}
	w := &wire{
		socket: socket, port: uint16(port), offset: clockOffset(),
		streams: map[stream][]byte{},
	}
	filter := w.filter()
	err = errors.Join(
		unix.SetsockoptSockFprog(socket, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}),
		unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20),
		unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}),
		unix.Bind(socket, &unix.SockaddrLinklayer{Protocol: all, Ifindex: lo.Index}))
	if err != nil {
		return nil, errors.Join(err, unix.Close(socket))
	}
	return w, nil
}

// filter has the kernel keep only packets from and to the broker's port.
func (w *wire) filter() []unix.SockFilter {
	const headerLength, loadHalf, equal, ret = unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH,
		unix.BPF_LD | unix.BPF_H | unix.BPF_IND, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K,
		unix.BPF_RET | unix.BPF_K
	return []unix.SockFilter{
		{Code: headerLength},
		{Code: loadHalf, K: 0},
		{Code: equal, K: uint32(w.port), Jt: 2},
		{Code: loadHalf, K: 2},
		{Code: equal, K: uint32(w.port), Jf: 1},
		{Code: ret, K: 1 << 16},
		{Code: ret, K: 0},
	}
}

func htons(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}

func clockOffset() time.Duration {
	var monotonic, real unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &monotonic)
	_ = unix.ClockGettime(unix.CLOCK_REALTIME, &real)
	return time.Duration(real.Nano() - monotonic.Nano())
}

// collect reads all that has passed until nothing comes for a tenth of a second, and
// returns it.
func (w *wire) collect() ([]method, error) {
	packet, control := make([]byte, 1<<16), make([]byte, 128)
	for {
		n, c, _, from, err := unix.Recvmsg(w.socket, packet, control, 0)
		switch {
		case errors.Is(err, unix.EINTR): // a signal of the Go runtime
			continue
		case errors.Is(err, unix.EAGAIN):
			return w.seen, unix.Close(w.socket)
		case err != nil:
			return nil, errors.Join(err, unix.Close(w.socket))
		}
		// The loopback interface shows each packet as it goes and as it comes.
		if sender, ok := from.(*unix.SockaddrLinklayer); ok && sender.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		w.packet(packet[:n], stampOf(control[:c])-w.offset)
	}
}

func stampOf(control []byte) time.Duration {
	messages, _ := unix.ParseSocketControlMessage(control)
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS {
			s, ns := binary.NativeEndian.Uint64(m.Data), binary.NativeEndian.Uint64(m.Data[8:])
			return time.Duration(s)*time.Second + time.Duration(ns)
		}
	}
	return 0
}

// packet takes an IPv4 packet. TCP over loopback loses nothing and keeps the order.
func (w *wire) packet(ip []byte, at time.Duration) {
	if len(ip) < 40 || ip[0]>>4 != 4 || ip[9] != unix.IPPROTO_TCP {
		return
	}
	tcp := ip[int(ip[0]&15)*4 : min(len(ip), int(binary.BigEndian.Uint16(ip[2:])))]
	from, to := binary.BigEndian.Uint16(tcp), binary.BigEndian.Uint16(tcp[2:])
	s := stream{client: from, sends: true}
	if from == w.port {
		s = stream{client: to}
	} else if to != w.port {
		return
	}
	w.streams[s] = w.frames(s, at, append(w.streams[s], tcp[int(tcp[12]>>4)*4:]...))
}

// frames notes the methods in data, and returns the rest.
func (w *wire) frames(s stream, at time.Duration, data []byte) []byte {
	if len(data) >= 8 && string(data[:4]) == "AMQP" {
		data = data[8:]
	}
	for len(data) >= 8 {
		size := int(binary.BigEndian.Uint32(data[3:])) + 8
		if len(data) < size {
			break
		}
		if data[0] == 1 { // no heartbeat, which is shorter
			if name := methods[binary.BigEndian.Uint32(data[7:])]; name != "" {
				w.seen = append(w.seen, method{stream: s, at: at, name: name})
			}
		}
		data = data[size:]
	}
	return data
}

// methods are the names of those that part_steps.go reads, by class and method.
var methods = map[uint32]string{
	50<<16 | 10: "queue.declare", 50<<16 | 11: "queue.declare-ok",
	50<<16 | 40: "queue.delete", 50<<16 | 41: "queue.delete-ok",
	60<<16 | 60: "basic.deliver",
	60<<16 | 70: "basic.get", 60<<16 | 72: "basic.get-empty",
}
