package logtool

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// Format is how a file holds events.
type Format string

// The formats.
const (
	// FormatJSONL is one event a line, in protobuf's JSON form.
	FormatJSONL Format = "jsonl"
	// FormatProtobuf is each event in protobuf's binary form, behind its length as
	// a varint.
	FormatProtobuf Format = "protobuf"
)

// maxFrameBytes is more than any event takes in any format: JSON writes six
// characters for some that are one.
const maxFrameBytes = 32 << 20

// encode returns an event as it stands in a file.
func (f Format) encode(event *wabastreamv1.ExportedEvent) ([]byte, error) {
	if f == FormatProtobuf {
		body, err := proto.MarshalOptions{Deterministic: true}.Marshal(event)
		if err != nil {
			return nil, err
		}
		return append(binary.AppendUvarint(nil, uint64(len(body))), body...), nil
	}
	text, err := protojson.Marshal(event)
	if err != nil {
		return nil, err
	}
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil { // protojson puts in spaces at random
		return nil, err
	}
	line.WriteByte('\n')
	return line.Bytes(), nil
}

func (f Format) decode(frame []byte) (*wabastreamv1.ExportedEvent, error) {
	event := new(wabastreamv1.ExportedEvent)
	if f == FormatProtobuf {
		return event, proto.Unmarshal(frame, event)
	}
	return event, protojson.Unmarshal(frame, event)
}

// frames reads a file event by event, without decoding them.
type frames struct {
	in     *bufio.Reader
	format Format
	end    int64 // of the last whole one
}

func newFrames(in io.Reader, format Format) *frames {
	return &frames{in: bufio.NewReaderSize(in, 1<<20), format: format}
}

// An export begins with its first event, which begins with its id, or with a part of a
// state, which begins with its name: in JSON with these characters, in a message with
// the tags of these fields, each before a length.
const (
	beginJSON      = `{"event":{"id":"`
	beginStateJSON = `{"state":{"projection":"`
	fieldEvent     = 1<<3 | 2
	fieldState     = 3<<3 | 2
	fieldID        = 1<<3 | 2 // and that of a state's name
)

// detect finds out the format of what is read: a JSON object begins with a brace and
// a name, a message with its length and the tag of its first field.
func (f *frames) detect() error {
	begin, err := f.in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	f.format = FormatProtobuf
	if len(begin) == 0 || begin[0] != '{' {
		return nil
	}
	if bytes.HasPrefix(begin, []byte{'{', fieldState}) {
		return nil
	}
	if !bytes.HasPrefix(begin, []byte{'{', fieldEvent}) {
		f.format = FormatJSONL
		return nil
	}
	if len(begin) == 4 && begin[3] != fieldID { // a line feed, like fieldEvent
		return errors.New("its JSON is broken over several lines: want one line an event, as `jq -c` prints it")
	}
	return nil
}

// begins reports whether what is read is the beginning of an export, cut off
// anywhere or not at all. Nothing is taken from what is to be read.
func (f *frames) begins() (bool, error) {
	begin, err := f.in.Peek(len(beginStateJSON))
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if f.format == FormatJSONL {
		text := string(begin)
		return strings.HasPrefix(beginStateJSON, text) || strings.HasPrefix(beginJSON, text[:min(len(text), len(beginJSON))]), nil
	}
	for _, tags := range []string{string([]byte{fieldEvent, fieldState}), string([]byte{fieldID})} {
		_, n := binary.Uvarint(begin)
		if n == 0 || n == len(begin) {
			return true, nil
		}
		if n < 0 || strings.IndexByte(tags, begin[n]) < 0 {
			return false, nil
		}
		begin = begin[n+1:]
	}
	return true, nil
}

// next returns the next event's bytes. Errors: io.EOF behind the last one,
// io.ErrUnexpectedEOF when the file ends within one.
func (f *frames) next() ([]byte, error) {
	if f.format == FormatProtobuf {
		return f.nextMessage()
	}
	return f.nextLine()
}

func (f *frames) nextLine() ([]byte, error) {
	var line []byte
	for {
		part, err := f.in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		case len(line) > maxFrameBytes:
			return nil, fmt.Errorf("a line is longer than %d bytes", maxFrameBytes)
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case err == nil:
			f.end += int64(len(line))
			return line, nil
		}
	}
}

func (f *frames) nextMessage() ([]byte, error) {
	length := countedBytes{in: f.in}
	size, err := binary.ReadUvarint(&length)
	if err != nil {
		return nil, err
	}
	if size > maxFrameBytes {
		return nil, fmt.Errorf("a message is longer than %d bytes; %s", maxFrameBytes, isItAnExport)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(f.in, body); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	f.end += length.read + int64(size)
	return body, nil
}

// countedBytes counts what is read: a length may be written longer than it need be.
type countedBytes struct {
	in   io.ByteReader
	read int64
}

// ReadByte implements io.ByteReader.
func (c *countedBytes) ReadByte() (byte, error) {
	b, err := c.in.ReadByte()
	if err == nil {
		c.read++
	}
	return b, err
}
