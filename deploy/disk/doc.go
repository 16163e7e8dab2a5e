// Package disk
package disk
