package pebblelog

import (
	"errors"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// tableSuffix ends the names of the store's tables.
const tableSuffix = ".sst"

// hasTables reports whether a folder holds tables of a store.
func hasTables(fs vfs.FS, dir string) (bool, error) {
	names, err := fs.List(dir)
	for _, name := range names {
		if strings.HasSuffix(name, tableSuffix) {
			return true, nil
		}
	}
	return false, err
}

// errManifest is returned where tables are found and no log: a store whose manifest
// is cut off after its first record looks like an empty one.
var errManifest = errors.New("folder holds tables of a store, and its manifest names none of them: " +
	"the manifest is damaged; restore a backup into another folder")

// spared are tables that the store wanted to remove before the log was found to be
// there: with a damaged manifest, all are of no use to it.
type spared struct {
	mu     sync.Mutex // guards fields below it
	found  bool
	tables []string
}

// spare takes note of a table that stays for now.
func (s *spared) spare(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.found || !strings.HasSuffix(name, tableSuffix) {
		return false
	}
	s.tables = append(s.tables, name)
	return true
}

// end is called once the log was found. It returns what may go after all.
func (s *spared) end() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found = true
	tables := s.tables
	s.tables = nil
	return tables
}
