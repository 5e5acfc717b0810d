package conversations

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"
)

// protocolHeader is what a client of AMQP 0-9-1 begins with.
const protocolHeader = "AMQP\x00\x00\x09\x01"

// patience bounds the wait for an answer.
const patience = 15 * time.Second

// connect logs in. Words are NAME=VALUE of user, password, vhost and heartbeat. A script
// gives those that are not the usual ones. The client never sends a heartbeat. The
// greeting is from the broker. After a refusal there is no connection, and no error.
func connect(dial func() (net.Conn, error), words []string) (net.Conn, []string, error) {
	settings := map[string]string{"user": "guest", "password": "guest", "vhost": "/", "heartbeat": "0"}
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		settings[name] = value
	}
	conn, err := dial()
	if err != nil {
		return nil, nil, err
	}
	h := handshake{conn: conn}
	_ = conn.SetDeadline(time.Now().Add(patience))
	err = h.run(settings)
	_ = conn.SetDeadline(time.Time{})
	if err != nil || h.refused {
		_ = conn.Close()
		conn = nil
	}
	return conn, h.greeting, err
}

type handshake struct {
	conn     net.Conn
	greeting []string
	refused  bool
}

func (h *handshake) run(settings map[string]string) error {
	if _, err := h.conn.Write([]byte(protocolHeader)); err != nil {
		return err
	}
	start, err := h.await("connection.start")
	if err != nil {
		return err
	}
	server, _ := start.args["server-properties"].(table)
	capabilities, _ := server["capabilities"].(table)
	h.note("capabilities=%v", slices.Sorted(maps.Keys(capabilities)))
	tune, err := h.ask("connection.tune", "connection.start-ok", map[string]any{
		"client-properties": table{"product": "conversations", "capabilities": table{
			"authentication_failure_close": true,
			"basic.nack":                   true,
			"connection.blocked":           true,
			"consumer_cancel_notify":       true,
			"publisher_confirms":           true,
		}},
		"mechanism": "PLAIN", "locale": "en_US",
		"response": "\x00" + settings["user"] + "\x00" + settings["password"],
	})
	if err != nil || tune == nil {
		return err
	}
	h.note("%s", tune)
	tune.args["heartbeat"] = number(settings["heartbeat"])
	tune.method, tune.properties = named("connection.tune-ok"), nil
	if err := h.send(tune); err != nil {
		return err
	}
	opened, err := h.ask("connection.open-ok", "connection.open",
		map[string]any{"virtual-host": settings["vhost"]})
	if err == nil && opened != nil {
		h.note("%s", opened)
	}
	return err
}

func (h *handshake) note(format string, args ...any) {
	h.greeting = append(h.greeting, fmt.Sprintf(format, args...))
}

func (h *handshake) send(m *message) error {
	frames, err := m.encode()
	if err == nil {
		_, err = h.conn.Write(frames)
	}
	return err
}

func (h *handshake) ask(answer, name string, args map[string]any) (*message, error) {
	if err := h.send(&message{method: named(name), args: args}); err != nil {
		return nil, err
	}
	return h.await(answer)
}

// await returns nil for a refusal.
func (h *handshake) await(name string) (*message, error) {
	m, err := readMessage(h.conn)
	switch {
	case err != nil:
		return nil, err
	case m.name == "connection.close":
		h.refused = true
		h.note("%s", m)
		return nil, h.send(&message{method: named("connection.close-ok")})
	case m.name != name:
		return nil, fmt.Errorf("%s came instead of %s", m, name)
	}
	return m, nil
}
