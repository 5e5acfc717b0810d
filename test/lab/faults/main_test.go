// Package faults breaks the way between amqprun and a single broker, that broker, and
// amqprun itself, and checks what became of the commands. make test-faults runs it.
package faults

import (
	"os"
	"testing"

	"github.com/amqprun/amqprun/test/lab/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }
