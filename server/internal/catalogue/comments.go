package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// comments are the contract's, by the names that Go code has for what they explain.
// Descriptors that are linked into a program have none; the generated code has.
type comments map[string]string

// readComments reads the generated code in a folder.
func readComments(dir string) (comments, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.pb.go"))
	if err != nil {
		return nil, err
	}
	c := comments{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("read the contract's comments: %w", err)
		}
		for _, declaration := range parsed.Decls {
			if general, ok := declaration.(*ast.GenDecl); ok {
				c.add(general)
			}
		}
	}
	return c, nil
}

func (c comments) add(declaration *ast.GenDecl) {
	for _, spec := range declaration.Specs {
		switch s := spec.(type) {
		case *ast.ValueSpec:
			c[s.Names[0].Name] = text(s.Doc)
		case *ast.TypeSpec:
			c[s.Name.Name] = text(declaration.Doc)
			if message, ok := s.Type.(*ast.StructType); ok {
				c.addFields(s.Name.Name, message)
			}
		}
	}
}

func (c comments) addFields(message string, fields *ast.StructType) {
	for _, field := range fields.Fields.List {
		if len(field.Names) == 1 {
			c[message+"."+field.Names[0].Name] = text(field.Doc)
		}
	}
}

// text is a comment on one line.
func text(comment *ast.CommentGroup) string {
	return strings.Join(strings.Fields(comment.Text()), " ")
}

func (c comments) message(m protoreflect.MessageDescriptor) string { return c[string(m.Name())] }

func (c comments) value(v protoreflect.EnumValueDescriptor) string {
	return c[string(v.Parent().Name()+"_"+v.Name())]
}

func (c comments) field(f protoreflect.FieldDescriptor) string {
	name := goName(f)
	if oneof := f.ContainingOneof(); oneof != nil && !oneof.IsSynthetic() {
		return c[string(f.ContainingMessage().Name())+"_"+name+"."+name]
	}
	return c[string(f.ContainingMessage().Name())+"."+name]
}

// goName is a field's name in the generated code: that of JSON, exported.
func goName(f protoreflect.FieldDescriptor) string {
	return strings.ToUpper(f.JSONName()[:1]) + f.JSONName()[1:]
}
