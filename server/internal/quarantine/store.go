package quarantine

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config is what a Store is made of.
type Config struct {
	// Dir is the folder of the files; required. It is made when missing.
	Dir string
	// MaxEntries and MaxBytes bound what is held, by number and by the bytes of
	// the bodies. With either at zero nothing is kept, and what was is removed.
	MaxEntries int
	MaxBytes   int64
	// Logger is optional; nil logs nothing.
	Logger *slog.Logger
	// Registerer takes the metrics; nil leaves them unregistered.
	Registerer prometheus.Registerer
}

// Store is the quarantine of one server. Its methods are safe for concurrent use.
// It holds nothing open, so there is nothing to close.
type Store struct {
	config  Config
	folder  folder
	metrics *metrics

	mu      sync.Mutex       // guards the folder and the fields below
	held    map[string]Entry // by id
	entries []Entry          // oldest first
	bytes   int64
}

// Open reads what is held. Files that it cannot read are named in the log and left
// alone; they are not counted.
func Open(config Config) (*Store, error) {
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(config.Registerer)
	if err != nil {
		return nil, err
	}
	s := &Store{config: config, folder: folder(config.Dir), metrics: m, held: make(map[string]Entry)}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("open the quarantine: %w", err)
	}
	return s, nil
}

func (s *Store) load() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.MkdirAll(s.config.Dir, 0o700); err != nil {
		return err
	}
	ids, err := s.folder.ids()
	if err != nil {
		return err
	}
	for _, id := range ids {
		entry, err := s.folder.readEntry(id)
		if err != nil {
			s.config.Logger.Warn("a callback in the quarantine cannot be read: remove its file, or bring it back from a copy",
				"path", s.folder.path(id), "error", err)
			continue
		}
		s.add(entry)
	}
	return s.makeRoom()
}

// Put keeps a callback that came at the time given and returns once it is durable.
// Of one that is held already it keeps the first. It keeps no reference to the body.
func (s *Store) Put(source string, received time.Time, reason string, body []byte) error {
	c := Callback{Body: body, Entry: Entry{
		ID: idOf(source, body), Source: source, Reason: reason, Size: int64(len(body)),
		// By the wall clock only, as it is read again after a restart: entries have
		// one order.
		ReceiveTime: received.Round(0).UTC(),
	}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.held[c.ID]; ok {
		return nil
	}
	if s.config.MaxEntries == 0 || c.Size > s.config.MaxBytes {
		s.metrics.dropped.Inc()
		return nil
	}
	if err := s.folder.write(c); err != nil {
		s.metrics.failures.Inc()
		return fmt.Errorf("write a callback into the quarantine: %w", err)
	}
	s.add(c.Entry)
	return s.makeRoom()
}

// add puts an entry into its place. The caller holds mu.
func (s *Store) add(e Entry) {
	at, _ := slices.BinarySearchFunc(s.entries, e, older)
	s.entries = slices.Insert(s.entries, at, e)
	s.held[e.ID] = e
	s.bytes += e.Size
	s.metrics.set(len(s.entries), s.bytes)
}

// makeRoom removes the oldest entries until the limits are kept. The caller holds mu.
func (s *Store) makeRoom() error {
	for len(s.entries) > s.config.MaxEntries || s.bytes > s.config.MaxBytes {
		s.metrics.dropped.Inc()
		if err := s.remove(s.entries[0]); err != nil {
			return fmt.Errorf("make room in the quarantine: %w", err)
		}
	}
	return nil
}

// remove forgets an entry also where its file stays: the next start finds it
// again. The caller holds mu.
func (s *Store) remove(e Entry) error {
	at, _ := slices.BinarySearchFunc(s.entries, e, older)
	s.entries = slices.Delete(s.entries, at, at+1)
	delete(s.held, e.ID)
	s.bytes -= e.Size
	s.metrics.set(len(s.entries), s.bytes)
	if err := os.Remove(s.folder.path(e.ID)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// List returns at most limit entries, the newest first, that are older than a
// given one; nil begins with the newest. The one given need not be held any more.
func (s *Store) List(before *Entry, limit int) (entries []Entry, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := len(s.entries)
	if before != nil {
		end, _ = slices.BinarySearchFunc(s.entries, *before, older)
	}
	begin := max(0, end-limit)
	entries = slices.Clone(s.entries[begin:end])
	slices.Reverse(entries)
	return entries, begin > 0
}

// Get returns a callback. Errors: ErrNotFound; or that its file is damaged or
// cannot be read.
func (s *Store) Get(id string) (Callback, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.held[id]; !ok {
		return Callback{}, ErrNotFound
	}
	c, err := s.folder.read(id)
	if err != nil {
		return Callback{}, fmt.Errorf("read callback %s in the quarantine: %w", id, err)
	}
	return c, nil
}

// Remove removes a callback; one that is not held is no error. After a crash it
// may be back.
func (s *Store) Remove(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.held[id]
	if !ok {
		return nil
	}
	if err := s.remove(e); err != nil {
		return fmt.Errorf("remove callback %s from the quarantine: %w", id, err)
	}
	return nil
}
