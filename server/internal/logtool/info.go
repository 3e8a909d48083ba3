package logtool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
	"github.com/wabastream/wabastream/server/internal/stream"
)

// Info is what a log holds.
type Info struct {
	DataDir string `json:"data_dir"`
	LogID   string `json:"log_id"`
	Format  uint64 `json:"format"`
	Events  uint64 `json:"events"`
	// SizeBytes is what the folder takes on disk; of that the store gives
	// ReclaimableBytes back by itself.
	SizeBytes        uint64 `json:"size_bytes"`
	ReclaimableBytes uint64 `json:"reclaimable_bytes"`
	// FirstSequence is where the log begins, LastSequence where it ends: zero and
	// the one before on an empty log.
	FirstSequence uint64 `json:"first_sequence"`
	LastSequence  uint64 `json:"last_sequence"`
	// EarliestTime and HeadTime are when the oldest and the newest event were
	// stored; zero on an empty log.
	EarliestTime   time.Time `json:"earliest_time,omitzero"`
	HeadTime       time.Time `json:"head_time,omitzero"`
	EarliestCursor string    `json:"earliest_cursor"`
	HeadCursor     string    `json:"head_cursor"`
	// IndexedSequence is how far the index in the folder goes; a server that
	// starts on it completes the index.
	IndexedSequence uint64     `json:"indexed_sequence"`
	TypeTrims       []TypeTrim `json:"type_trims"`
}

// TypeTrim says that retention has removed the events of a type up to a sequence.
type TypeTrim struct {
	Type         string `json:"type"`
	LastSequence uint64 `json:"last_sequence"`
}

// ReadInfo looks at a log.
func ReadInfo(ctx context.Context, folder Folder) (info Info, err error) {
	r, err := folder.open(ctx)
	if err != nil {
		return Info{}, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	bounds, err := r.Bounds(ctx)
	if err != nil {
		return Info{}, fmt.Errorf("read bounds: %w", err)
	}
	stats, err := r.Stats(ctx)
	if err != nil {
		return Info{}, fmt.Errorf("read sizes: %w", err)
	}
	return infoOf(folder, r, bounds, stats), nil
}

func infoOf(folder Folder, r *pebblelog.Reader, bounds eventlog.Bounds, stats eventlog.Stats) Info {
	info := Info{
		DataDir: folder.Dir, LogID: bounds.Head.Log.String(), Format: r.Format(),
		Events: stats.Records, SizeBytes: stats.Bytes, ReclaimableBytes: stats.Reclaimable,
		FirstSequence: uint64(bounds.Start.Sequence) + 1, LastSequence: uint64(bounds.Head.Sequence),
		EarliestTime: bounds.OldestTime, HeadTime: bounds.HeadTime,
		EarliestCursor: stream.Cursor(bounds.Start), HeadCursor: stream.Cursor(bounds.Head),
		IndexedSequence: uint64(r.Indexed()),
		TypeTrims:       []TypeTrim{},
	}
	for _, t := range bounds.TypeTrims {
		info.TypeTrims = append(info.TypeTrims, TypeTrim{Type: t.Path, LastSequence: uint64(t.UpTo.Sequence)})
	}
	slices.SortFunc(info.TypeTrims, func(a, b TypeTrim) int { return strings.Compare(a.Type, b.Type) })
	return info
}

// WriteText prints the information for people.
func (i Info) WriteText(w io.Writer) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s"+format+"\n", append([]any{name}, args...)...)
	}
	line("log", "%s, format %d, in %s", i.LogID, i.Format, i.DataDir)
	if i.Events == 0 {
		line("events", "none")
	} else {
		line("events", "%d, sequences %d to %d", i.Events, i.FirstSequence, i.LastSequence)
		line("stored", "%s to %s", i.EarliestTime.Format(time.RFC3339Nano), i.HeadTime.Format(time.RFC3339Nano))
	}
	line("size", "%s on disk, of which %s will be given back", mebibytes(i.SizeBytes), mebibytes(i.ReclaimableBytes))
	line("index", "up to sequence %d", i.IndexedSequence)
	line("cursors", "earliest %s", i.EarliestCursor)
	line("", "head     %s", i.HeadCursor)
	for _, t := range i.TypeTrims {
		line("removed", "%s up to sequence %d", t.Type, t.LastSequence)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteJSON prints the information for programs.
func (i Info) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(i)
}

func mebibytes(n uint64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
