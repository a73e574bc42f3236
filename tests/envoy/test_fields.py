"""The names of fields that Envoy compares those of JSON bodies with."""

from pathlib import Path

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet

from llm_inference_api.envoy.fields import fields_filter

TEXT, MESSAGE = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_MESSAGE


def tables(path: Path) -> dict[str, str]:
    """Returns what the script begins with, by the tables' names."""
    config = fields_filter(path, ["a.S"])["typed_config"]
    lines = config["default_source_code"]["inline_string"].splitlines()[:4]
    return dict(line.removeprefix("local ").split(" = ", 1) for line in lines)


def add_method(files: FileDescriptorSet, verb: str, path: str, body: str) -> None:
    """Adds a method with an HTTP rule to the only service."""
    method = files.file[0].service[0].method.add(name=f"M{path}", input_type=".a.Request")
    rule = method.options.Extensions[annotations_pb2.http]
    setattr(rule, verb, path)
    rule.body = body


def contract(tmp_path: Path) -> Path:
    """Returns a descriptor set with messages in messages, a map and a message of protobuf's own."""
    files = FileDescriptorSet()
    file = files.file.add(name="a.proto", package="a")
    request = file.message_type.add(name="Request")
    request.field.add(name="a_text", json_name="aText", type=TEXT)
    request.field.add(name="again", json_name="again", type=MESSAGE, type_name=".a.Request")
    request.field.add(name="inner", json_name="inner", type=MESSAGE, type_name=".a.Request.Inner")
    request.field.add(name="by_name", json_name="byName", type=MESSAGE, type_name=".a.Request.ByNameEntry")
    request.field.add(name="free", json_name="free", type=MESSAGE, type_name=".google.protobuf.Struct")
    request.nested_type.append(DescriptorProto(name="Inner"))
    entry = request.nested_type.add(name="ByNameEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", json_name="key", type=TEXT)
    entry.field.add(name="value", json_name="value", type=MESSAGE, type_name=".a.Request.Inner")
    file.service.add(name="S")
    add_method(files, "get", "/get", "")
    add_method(files, "post", "/whole", "*")
    add_method(files, "put", "/part", "inner")
    add_method(files, "post", "/free", "free")
    add_method(files, "post", "/x-y/{name=**}:do", "")
    add_method(files, "get", "/get/{a_text}", "")
    add_method(files, "get", "/get/{a_text=sub/*}/more", "")
    path = tmp_path / "descriptor.pb"
    path.write_bytes(files.SerializeToString())
    return path


def test_body_of_each_rule_is_known(tmp_path: Path) -> None:
    """The whole message, a field of it, or nothing; what has its own JSON is not looked at."""
    found = tables(contract(tmp_path))
    assert found["BODIES"] == '{["POST /whole"] = ".a.Request", ["PUT /part"] = ".a.Request.Inner"}'
    assert found["PATTERNS"] == '{["^POST /x%-y/.+:do$"] = "nothing"}'


def test_parameters_of_a_query_are_the_fields_that_stand_nowhere_else(tmp_path: Path) -> None:
    """Neither in the path nor in the body; the pattern that says most of a path comes first."""
    queries = tables(contract(tmp_path))["QUERIES"]
    fields = '["again"] = true, ["byName"] = true, ["by_name"] = true, ["free"] = true'
    text, inner = '["aText"] = true, ["a_text"] = true', '["inner"] = true'
    assert f'{{"^GET /get$", {{{text}, {fields}, {inner}}}}}' in queries
    assert f'{{"^GET /get/[^/]+$", {{{fields}, {inner}}}}}' in queries
    assert f'{{"^GET /get/sub/[^/]+/more$", {{{fields}, {inner}}}}}' in queries
    assert '{"^POST /whole$", {}}' in queries
    assert f'{{"^PUT /part$", {{{text}, {fields}}}}}' in queries
    assert queries.index("/more") < queries.index("/get/[^/]+$")


def test_fields_have_both_names_and_their_messages(tmp_path: Path) -> None:
    """A map's names are free, its values are not; messages may contain themselves."""
    found = tables(contract(tmp_path))["MESSAGES"]
    assert '[".a.Request.ByNameEntry"] = {["*"] = ".a.Request.Inner"}' in found
    assert '["aText"] = "", ["a_text"] = "", ["again"] = ".a.Request"' in found
    assert '["free"] = ""' in found
    assert '[".a.Request.Inner"] = {}' in found
