package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// The frames of AMQP 0-9-1. https://www.rabbitmq.com/amqp-0-9-1-reference
const (
	frameMethod    = 1
	frameHeader    = 2
	frameBody      = 3
	frameHeartbeat = 8
	frameEnd       = 206
	frameMax       = 131072
)

// table is a field table of the protocol.
type table map[string]any

type array []any

// writer builds the payload of a frame.
type writer struct{ b []byte }

func (w *writer) octet(v byte)    { w.b = append(w.b, v) }
func (w *writer) short(v uint16)  { w.b = binary.BigEndian.AppendUint16(w.b, v) }
func (w *writer) long(v uint32)   { w.b = binary.BigEndian.AppendUint32(w.b, v) }
func (w *writer) double(v uint64) { w.b = binary.BigEndian.AppendUint64(w.b, v) }

// shortString cuts what is too long, as RabbitMQ does with the texts of its refusals.
func (w *writer) shortString(s string) {
	s = s[:min(len(s), 255)]
	w.octet(byte(len(s)))
	w.b = append(w.b, s...)
}

func (w *writer) longString(s string) {
	w.long(uint32(len(s)))
	w.b = append(w.b, s...)
}

// sized writes what f writes, behind its length.
func (w *writer) sized(f func()) {
	at := len(w.b)
	w.long(0)
	f()
	binary.BigEndian.PutUint32(w.b[at:], uint32(len(w.b)-at-4))
}

func (w *writer) table(t table) {
	w.sized(func() {
		for _, key := range slices.Sorted(maps.Keys(t)) {
			w.shortString(key)
			w.field(t[key])
		}
	})
}

func (w *writer) field(value any) {
	switch v := value.(type) {
	case nil:
		w.octet('V')
	case bool:
		w.octet('t')
		w.bit(v)
	case int32:
		w.octet('I')
		w.long(uint32(v))
	case int64:
		w.octet('l')
		w.double(uint64(v))
	case string:
		w.octet('S')
		w.longString(v)
	case time.Time:
		w.octet('T')
		w.double(uint64(v.Unix()))
	case table:
		w.octet('F')
		w.table(v)
	case array:
		w.octet('A')
		w.sized(func() {
			for _, item := range v {
				w.field(item)
			}
		})
	case float64:
		w.octet('d')
		w.double(math.Float64bits(v))
	default:
		panic(fmt.Sprintf("no way to write a %T", value))
	}
}

func (w *writer) bit(v bool) {
	if v {
		w.octet(1)
	} else {
		w.octet(0)
	}
}

// errSyntax is what a client sent that is no AMQP.
var errSyntax = errors.New("malformed frame")

// reader reads the payload of a frame. It panics with errSyntax.
type reader struct{ b []byte }

func (r *reader) next(n int) []byte {
	if n > len(r.b) {
		panic(errSyntax)
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) octet() byte    { return r.next(1)[0] }
func (r *reader) short() uint16  { return binary.BigEndian.Uint16(r.next(2)) }
func (r *reader) long() uint32   { return binary.BigEndian.Uint32(r.next(4)) }
func (r *reader) double() uint64 { return binary.BigEndian.Uint64(r.next(8)) }

func (r *reader) shortString() string { return string(r.next(int(r.octet()))) }
func (r *reader) longString() string  { return string(r.next(int(r.long()))) }

func (r *reader) table() table {
	inner := reader{r.next(int(r.long()))}
	t := table{}
	for len(inner.b) > 0 {
		key := inner.shortString()
		t[key] = inner.field()
	}
	return t
}

// field keeps an int32, and makes an int64 of each other kind of integer.
func (r *reader) field() any {
	switch kind := r.octet(); kind {
	case 'V':
		return nil
	case 't':
		return r.octet() != 0
	case 'b':
		return int64(int8(r.octet()))
	case 'B':
		return int64(r.octet())
	case 's':
		return int64(int16(r.short()))
	case 'u':
		return int64(r.short())
	case 'I':
		return int32(r.long())
	case 'i':
		return int64(r.long())
	case 'l', 'L':
		return int64(r.double())
	case 'd':
		return math.Float64frombits(r.double())
	case 'S', 'x':
		return r.longString()
	case 'T':
		return time.Unix(int64(r.double()), 0)
	case 'F':
		return r.table()
	case 'A':
		inner, all := reader{r.next(int(r.long()))}, array{}
		for len(inner.b) > 0 {
			all = append(all, inner.field())
		}
		return all
	default:
		panic(errSyntax)
	}
}

// integer is the value of an argument of either size.
func integer(v any) (n int64, ok bool) {
	switch v := v.(type) {
	case int32:
		return int64(v), true
	case int64:
		return v, true
	}
	return 0, false
}

// properties are those of a message, in the order of the protocol.
type properties struct {
	contentType, contentEncoding string
	headers                      table
	deliveryMode, priority       byte
	correlationID, replyTo       string
	expiration, messageID        string
	timestamp                    uint64
	kind, userID, appID          string
}

// readHeader reads the payload of a content header frame.
func readHeader(payload []byte) (size uint64, p properties) {
	r := reader{payload}
	_, _ = r.short(), r.short() // class, weight
	size = r.double()
	flags := r.short()
	has := func(bit int) bool { return flags&(1<<bit) != 0 }
	text := func(bit int, to *string) {
		if has(bit) {
			*to = r.shortString()
		}
	}
	text(15, &p.contentType)
	text(14, &p.contentEncoding)
	if has(13) {
		p.headers = r.table()
	}
	if has(12) {
		p.deliveryMode = r.octet()
	}
	if has(11) {
		p.priority = r.octet()
	}
	text(10, &p.correlationID)
	text(9, &p.replyTo)
	text(8, &p.expiration)
	text(7, &p.messageID)
	if has(6) {
		p.timestamp = r.double()
	}
	text(5, &p.kind)
	text(4, &p.userID)
	text(3, &p.appID)
	return size, p
}

// header is the payload of a content header frame.
func (p properties) header(size int) []byte {
	var w writer
	w.short(classBasic)
	w.short(0)
	w.double(uint64(size))
	at := len(w.b)
	w.short(0)
	var flags uint16
	text := func(bit int, s string) {
		if s != "" {
			flags |= 1 << bit
			w.shortString(s)
		}
	}
	text(15, p.contentType)
	text(14, p.contentEncoding)
	if len(p.headers) > 0 {
		flags |= 1 << 13
		w.table(p.headers)
	}
	if p.deliveryMode != 0 {
		flags |= 1 << 12
		w.octet(p.deliveryMode)
	}
	if p.priority != 0 {
		flags |= 1 << 11
		w.octet(p.priority)
	}
	text(10, p.correlationID)
	text(9, p.replyTo)
	text(8, p.expiration)
	text(7, p.messageID)
	if p.timestamp != 0 {
		flags |= 1 << 6
		w.double(p.timestamp)
	}
	text(5, p.kind)
	text(4, p.userID)
	text(3, p.appID)
	binary.BigEndian.PutUint16(w.b[at:], flags)
	return w.b
}
