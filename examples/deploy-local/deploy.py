import json

from scoring_runtime.deploy import Environment, InferenceConfig, LocalWebservice, Model, Webservice, Workspace

ws = Workspace.from_config()
model = Model.register(ws, model_name="my-model", model_path="model.json")

env = Environment(name="project_environment")
inference_config = InferenceConfig(environment=env, source_directory="./source_dir", entry_script="./score.py")
deployment_config = LocalWebservice.deploy_configuration()

service = Model.deploy(ws, "myservice", [model], inference_config, deployment_config, overwrite=True)
service.wait_for_deployment(show_output=True)
print(service.state, service.run(json.dumps({"data": [1, 2.5]})))

with open("model.json", "w") as file:
    json.dump({"factor": 3}, file)
model = Model.register(ws, model_name="my-model", model_path="model.json")

service = Webservice(name="myservice", workspace=ws)
service.update([model], inference_config, deployment_config)
service.wait_for_deployment(show_output=True)
print(service.state, service.run(json.dumps({"data": [1, 2.5]})))

service.delete()
model.delete()
