package job

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// slotsFile shows the command which slots an elastic set holds: in a file that is
// replaced at each change, and by a SIGHUP after it. It is nil, and its methods do
// nothing, for other locks.
type slotsFile struct {
	dir     string
	writing sync.Mutex    // orders the lists, so that the newest one stays
	listed  bool          // the file has a list
	changed chan struct{} // holds one: changes that follow closely are one SIGHUP
	warnf   func(string, ...any)
}

func newSlotsFile(elastic bool, warnf func(string, ...any)) (*slotsFile, error) {
	if !elastic {
		return nil, nil
	}
	dir, err := os.MkdirTemp("", "amqprun-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the list of slots: %w", err)
	}
	f := &slotsFile{dir: dir, changed: make(chan struct{}, 1), warnf: warnf}
	return f, nil
}

func (f *slotsFile) path() string { return filepath.Join(f.dir, "slots") }

// variables writes the slots that the command gets in its environment too, unless the set
// has changed since: then the newer list stays. It returns the place of the file for the
// environment.
func (f *slotsFile) variables(slots []int) []string {
	if f == nil {
		return nil
	}
	f.writing.Lock()
	defer f.writing.Unlock()
	if !f.listed {
		f.write(slots)
	}
	return []string{slotsFileVariable + "=" + f.path()}
}

// write replaces the file. The caller has locked writing.
func (f *slotsFile) write(slots []int) {
	f.listed = true
	if err := f.replace(words(slots) + "\n"); err != nil {
		f.warnf("the list of slots cannot be written for the command: %v", err)
	}
}

// replace does not sync: a check of the lock waits for it, and nobody needs the file
// after a crash.
func (f *slotsFile) replace(text string) error {
	_ = os.Mkdir(f.dir, 0o700) // something that cleans up /tmp may have removed it
	file, err := os.CreateTemp(f.dir, "slots-")
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), f.path())
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

// change is for amqplock.WithElastic.
func (f *slotsFile) change(slots []int) {
	if f == nil {
		return
	}
	f.writing.Lock()
	f.write(slots)
	f.writing.Unlock()
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// changes delivers a value after each change of the file.
func (f *slotsFile) changes() <-chan struct{} {
	if f == nil {
		return nil
	}
	return f.changed
}

func (f *slotsFile) close() {
	if f == nil {
		return
	}
	_ = os.RemoveAll(f.dir)
}
