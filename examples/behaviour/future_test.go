//go:build examples

package behaviour_test

import (
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// A consumer that was generated from this contract keeps working with a server whose
// contract has gained fields, enum values, payloads and frames: it prints what it knows
// of every event, passes over frames it does not know, and resumes after them.
func TestFutureContract(t *testing.T) {
	t.Parallel()
	future := newFutureServer(t)
	c := crewOf(t, languages(t), func(kind) string { return future.address })
	c.start()
	c.awaitLines(5)
	for _, each := range c {
		each.awaitSaved("end\n")
	}
	c.stop()
	for _, each := range c {
		require.Equal(t, futureLines, each.running().lines, each.name)
	}
	require.Equal(t, futureCursors(len(c)), future.resumed, "how often streams began after which cursor")
}

// futureStreams are the frames of one stream after the other: the second resumes after
// the first's last frame, which is of a kind that today's clients do not know.
var futureStreams = map[string][]string{ //nolint:gochecknoglobals // never changed
	"": {
		`{"cursor": "start", "ready": {"logId": "future", "heartbeatInterval": "60s", "novelty": "x"}, "novelty": "x"}`,
		`{"cursor": "1", "batch": {"novelty": "x", "events": [
			{"sequence": 1, "cursor": "e1", "id": "plain", "type": "account_update.account_deleted", "severity": "SEVERITY_CRITICAL", "wabaId": "w",
			 "novelty": "x", "accountUpdate": {"event": "ACCOUNT_UPDATE_EVENT_ACCOUNT_DELETED", "eventText": "ACCOUNT_DELETED", "novelty": "x"}},
			{"sequence": 2, "cursor": "e2", "id": "values", "type": "account_update.novelty", "severity": "SEVERITY_NOVELTY", "wabaIdSource": "WABA_ID_SOURCE_NOVELTY",
			 "provider": "PROVIDER_NOVELTY", "wabaId": "w", "accountUpdate": {"event": "ACCOUNT_UPDATE_EVENT_NOVELTY", "eventText": "NOVELTY"}}]}}`,
		`{"cursor": "2", "batch": {"events": [
			{"sequence": 3, "cursor": "e3", "id": "payload", "type": "novelty", "severity": "SEVERITY_INFO", "novelPayload": {"novelty": "x"}}]}}`,
		`{"cursor": "unknown frame", "novelFrame": {"novelty": "x"}}`,
	},
	"unknown frame": {
		`{"cursor": "unknown frame", "ready": {"logId": "future", "resumed": true, "heartbeatInterval": "60s"}}`,
		`{"cursor": "4", "batch": {"events": [
			{"sequence": 4, "cursor": "e4", "id": "after", "type": "novelty", "severity": "SEVERITY_NOVELTY", "novelPayload": {}},
			{"sequence": 5, "cursor": "e5", "id": "quality", "type": "phone_number_quality_update.novelty", "severity": "SEVERITY_INFO",
			 "phoneNumberQualityUpdate": {"event": "PHONE_NUMBER_QUALITY_EVENT_NOVELTY", "eventText": "N", "novelty": "x"}}]}}`,
		`{"cursor": "end", "progress": {"novelty": "x"}}`,
	},
}

var futureLines = []string{ //nolint:gochecknoglobals // never changed
	"1\tplain\tCRITICAL\taccount_update.account_deleted\tw\tACCOUNT_DELETED",
	"2\tvalues\t100\taccount_update.novelty\tw\tNOVELTY",
	"3\tpayload\tINFO\tnovelty\t-\tunknown to this client",
	"4\tafter\t100\tnovelty\t-\tunknown to this client",
	"5\tquality\tINFO\tphone_number_quality_update.novelty\t-\tN",
}

func futureCursors(consumers int) map[string]int {
	return map[string]int{"": consumers, "unknown frame": consumers}
}

// futureServer is an EventService with the extended contract.
type futureServer struct {
	address           string
	request, response protoreflect.MessageDescriptor

	mu      sync.Mutex     // guards resumed
	resumed map[string]int // how often a stream began after a cursor
}

func newFutureServer(t *testing.T) *futureServer {
	t.Helper()
	files := extendedContract(t)
	f := &futureServer{
		request:  messageOf(t, files, "wabastream.v1.SubscribeRequest"),
		response: messageOf(t, files, "wabastream.v1.SubscribeResponse"),
		resumed:  make(map[string]int),
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f.address = listener.Addr().String()
	g := grpc.NewServer()
	g.RegisterService(&grpc.ServiceDesc{
		ServiceName: wabastreamv1.EventService_ServiceDesc.ServiceName,
		HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName: "Subscribe", ServerStreams: true,
			Handler: func(_ any, stream grpc.ServerStream) error { return f.subscribe(stream) },
		}},
	}, nil)
	var serving sync.WaitGroup
	serving.Go(func() { _ = g.Serve(listener) })
	t.Cleanup(func() {
		g.Stop()
		serving.Wait()
	})
	return f
}

func messageOf(t *testing.T, files *protoregistry.Files, name protoreflect.FullName) protoreflect.MessageDescriptor {
	t.Helper()
	d, err := files.FindDescriptorByName(name)
	require.NoError(t, err)
	message, ok := d.(protoreflect.MessageDescriptor)
	require.True(t, ok)
	return message
}

// subscribe sends the frames that follow the request's cursor, and is gone; the last
// stream stays.
func (f *futureServer) subscribe(stream grpc.ServerStream) error {
	request := dynamicpb.NewMessage(f.request)
	if err := stream.RecvMsg(request); err != nil {
		return err
	}
	cursor := request.Get(f.request.Fields().ByName("after_cursor")).String()
	frames, known := futureStreams[cursor]
	if !known {
		return status.Errorf(codes.InvalidArgument, "no stream begins after %q", cursor)
	}
	f.mu.Lock()
	f.resumed[cursor]++
	f.mu.Unlock()
	for _, text := range frames {
		frame := dynamicpb.NewMessage(f.response)
		if err := protojson.Unmarshal([]byte(text), frame); err != nil {
			return status.Errorf(codes.InvalidArgument, "the test's frame: %v", err)
		}
		if err := stream.SendMsg(frame); err != nil {
			return err
		}
	}
	if cursor == "" {
		return status.Error(codes.Unavailable, "gone")
	}
	<-stream.Context().Done()
	return nil
}

// extendedContract is this contract and more: every message of events, frames and
// payloads has a field, every enum a value, and both the event's payload and the frame
// one more kind.
func extendedContract(t *testing.T) *protoregistry.Files {
	t.Helper()
	set := &descriptorpb.FileDescriptorSet{}
	seen := make(map[string]bool)
	var add func(file protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}
		seen[file.Path()] = true
		for i := range file.Imports().Len() {
			add(file.Imports().Get(i).FileDescriptor)
		}
		copied := protodesc.ToFileDescriptorProto(file)
		if file.Package() == "wabastream.v1" {
			extend(copied)
		}
		set.File = append(set.File, copied)
	}
	add(wabastreamv1.File_wabastream_v1_event_service_proto)
	files, err := protodesc.NewFiles(set)
	require.NoError(t, err)
	return files
}

const novelNumber = 100

func extend(file *descriptorpb.FileDescriptorProto) {
	for _, enum := range file.GetEnumType() {
		zero := enum.GetValue()[0].GetName() // ..._UNSPECIFIED
		name := zero[:len(zero)-len("UNSPECIFIED")] + "NOVELTY"
		enum.Value = append(enum.Value, &descriptorpb.EnumValueDescriptorProto{Name: &name, Number: new(int32(novelNumber))})
	}
	for _, message := range file.GetMessageType() {
		message.Field = append(message.Field, &descriptorpb.FieldDescriptorProto{
			Name: new("novelty"), Number: new(int32(novelNumber)),
			Type:  descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(),
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		})
		switch message.GetName() {
		case "Event":
			addArm(message, "novel_payload", ".wabastream.v1.BanInfo")
		case "SubscribeResponse":
			addArm(message, "novel_frame", ".wabastream.v1.Progress")
		}
	}
}

// addArm adds one more kind to the message's oneof, before the others.
func addArm(message *descriptorpb.DescriptorProto, name, of string) {
	first := slices.IndexFunc(message.GetField(), func(f *descriptorpb.FieldDescriptorProto) bool { return f.OneofIndex != nil })
	message.Field = slices.Insert(message.GetField(), first, &descriptorpb.FieldDescriptorProto{
		Name: &name, Number: new(int32(novelNumber + 1)),
		Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), TypeName: &of,
		Label:      descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		OneofIndex: new(int32(0)),
	})
}
