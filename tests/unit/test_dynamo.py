from batchline.aws import dynamo


def test_a_change_sets_what_has_a_value_and_removes_what_has_none():
    request = dynamo.change(
        "Documents",
        {"document_id": "d_1"},
        {"status": "HELD", "error": None, "needs": 0, "problem": None},
        when="#status = :status",
        values={"status": "QUEUED"},
    )
    assert request == {
        "TableName": "Documents",
        "Key": {"document_id": {"S": "d_1"}},
        "UpdateExpression": "SET #status = :new_status, #needs = :new_needs REMOVE #error, #problem",
        "ConditionExpression": "#status = :status",
        "ExpressionAttributeNames": {
            "#error": "error",
            "#needs": "needs",
            "#problem": "problem",
            "#status": "status",
        },
        "ExpressionAttributeValues": {
            ":new_status": {"S": "HELD"},
            ":new_needs": {"N": "0"},
            ":status": {"S": "QUEUED"},
        },
    }


def test_a_change_that_only_removes_has_no_values():
    request = dynamo.change("Documents", {"document_id": "d_1"}, {"error": None})
    assert request["UpdateExpression"] == "REMOVE #error"
    assert "ExpressionAttributeValues" not in request
