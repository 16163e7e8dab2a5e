package ilo

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The wire format of RIBCL (HPE, "iLO 4 Scripting and Command Line Guide"): a
// document a request; in the answer a document for each level of the request.

// A command is one that an iLO carries out.
type command struct {
	group string // SERVER_INFO, RIB_INFO, USER_INFO
	write bool
	name  string
	attrs []attr
	body  []element // below it

	secret string // among them, that no error repeats
}

type attr struct{ name, value string }

type element struct {
	name  string
	attrs []attr
	body  []element
}

// marshal returns the document of a command, with the log-in that it needs.
func (c command) marshal(user, password string) []byte {
	mode := "read"
	if c.write {
		mode = "write"
	}
	doc := element{"RIBCL", []attr{{"VERSION", "2.0"}}, []element{
		{"LOGIN", []attr{{"USER_LOGIN", user}, {"PASSWORD", password}}, []element{
			{c.group, []attr{{"MODE", mode}}, []element{{c.name, c.attrs, c.body}}},
		}},
	}}
	var b bytes.Buffer
	b.WriteString("<?xml version=\"1.0\"?>\r\n")
	doc.write(&b)
	return b.Bytes()
}

func (e element) write(b *bytes.Buffer) {
	b.WriteString("<" + e.name)
	for _, a := range e.attrs {
		b.WriteString(" " + a.name + `="`)
		_ = xml.EscapeText(b, []byte(a.value)) // to a Buffer
		b.WriteByte('"')
	}
	if len(e.body) == 0 {
		b.WriteString("/>\r\n")
		return
	}
	b.WriteString(">\r\n")
	for _, child := range e.body {
		child.write(b)
	}
	b.WriteString("</" + e.name + ">\r\n")
}

// A node is an element of an answer. Names are in upper case, for iLOs do not
// agree with themselves about it.
type node struct {
	name     string
	attrs    map[string]string
	children []*node
}

// find returns the first element of that name below n, at any depth, nil for none.
func (n *node) find(name string) *node {
	if n == nil {
		return nil
	}
	for _, c := range n.children {
		if c.name == name {
			return c
		}
		if found := c.find(name); found != nil {
			return found
		}
	}
	return nil
}

// value returns the attribute VALUE of the element name below n, "" for none.
func (n *node) value(name string) string {
	if found := n.find(name); found != nil {
		return found.attrs["VALUE"]
	}
	return ""
}

// An answer is what an iLO said: the worst status, and everything else.
type answer struct {
	status  int
	message string // "" for "No error"
	*node          // with what the documents have below their roots
}

const (
	maxDocuments = 64
	maxDepth     = 32
	maxNodes     = 20000
)

// parseAnswer reads the documents of an answer. Each begins with its own prolog;
// what is before the first is none.
func parseAnswer(data []byte) (*answer, error) {
	a := &answer{node: &node{}}
	parts := bytes.Split(data, []byte("<?xml"))
	if len(parts) < 2 {
		return nil, errors.New("no XML document")
	}
	if len(parts) > maxDocuments {
		return nil, errors.New("too many XML documents")
	}
	budget := maxNodes
	for _, part := range parts[1:] {
		_, text, ok := bytes.Cut(part, []byte("?>"))
		if !ok {
			return nil, errors.New("an XML prolog without end")
		}
		root, err := parseDocument(text, &budget)
		if err != nil {
			return nil, err
		}
		for _, n := range root.children {
			if n.name != "RESPONSE" {
				a.children = append(a.children, n)
				continue
			}
			status, err := strconv.ParseInt(n.attrs["STATUS"], 0, 32)
			if err != nil {
				return nil, errors.New("a response without a status")
			}
			message := strings.TrimSpace(n.attrs["MESSAGE"])
			switch {
			case a.status != 0: // the first failure explains the others
			case status != 0:
				a.status, a.message = int(status), message
			case message != "" && message != "No error":
				a.message = message
			}
		}
	}
	return a, nil
}

// parseDocument reads one document into a tree.
func parseDocument(text []byte, budget *int) (*node, error) {
	d := xml.NewDecoder(bytes.NewReader(text))
	d.Strict = false
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	stack := []*node{{}}
	for {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, errors.New("broken XML")
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			if *budget--; *budget < 0 || len(stack) > maxDepth {
				return nil, errors.New("too much XML")
			}
			n := &node{name: strings.ToUpper(tok.Name.Local), attrs: map[string]string{}}
			for _, a := range tok.Attr {
				n.attrs[strings.ToUpper(a.Name.Local)] = a.Value
			}
			top := stack[len(stack)-1]
			top.children = append(top.children, n)
			stack = append(stack, n)
		case xml.EndElement:
			if len(stack) > 1 {
				stack = stack[:len(stack)-1]
			}
		}
	}
	if len(stack[0].children) != 1 || stack[0].children[0].name != "RIBCL" {
		return nil, fmt.Errorf("a document that is not RIBCL")
	}
	return stack[0].children[0], nil
}
