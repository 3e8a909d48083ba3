package eventlog

import (
	"errors"
	"fmt"
)

// CheckAppend tells what is wrong with the records of one append: its error matches
// [ErrTooLarge] where they are over a limit.
func CheckAppend(records []Record) error {
	if n := len(records); n > MaxAppendRecords {
		return fmt.Errorf("%w: %d records in one append, at most %d", ErrTooLarge, n, MaxAppendRecords)
	}
	total := 0
	for i := range records {
		if err := CheckRecord(&records[i]); err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
		total += len(records[i].Payload) + len(records[i].Raw)
	}
	if total > MaxAppendBytes {
		return fmt.Errorf("%w: %d bytes in one append, at most %d", ErrTooLarge, total, MaxAppendBytes)
	}
	return nil
}

// CheckRecord tells what is wrong with a record: its error matches [ErrTooLarge] where
// it is over a limit.
func CheckRecord(r *Record) error {
	if r.Source == "" || r.Type == "" {
		return errors.New("source and type must be set")
	}
	for _, f := range []struct{ name, text string }{
		{"source", r.Source}, {"WABA id", r.WABAID}, {"type", r.Type}, {"business phone", r.BusinessPhone},
	} {
		if len(f.text) > MaxTextBytes {
			return fmt.Errorf("%w: %s has %d bytes, at most %d", ErrTooLarge, f.name, len(f.text), MaxTextBytes)
		}
	}
	if n := len(r.Payload) + len(r.Raw); n > MaxRecordBytes {
		return fmt.Errorf("%w: payload and raw have %d bytes, at most %d", ErrTooLarge, n, MaxRecordBytes)
	}
	return nil
}
