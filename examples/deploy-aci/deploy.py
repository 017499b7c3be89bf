import json

from scoring_runtime.deploy import AciWebservice, Environment, InferenceConfig, Model, Workspace

ws = Workspace.from_config()
model = Model.register(ws, model_name="my-model", model_path="model.json")

env = Environment(name="project_environment")
inference_config = InferenceConfig(environment=env, source_directory="./source_dir", entry_script="./score.py")
deployment_config = AciWebservice.deploy_configuration(cpu_cores=0.5, memory_gb=1, auth_enabled=True)

service = Model.deploy(ws, "myservice", [model], inference_config, deployment_config, overwrite=True)
service.wait_for_deployment(show_output=True)
print(service.state, service.run(json.dumps({"data": [1, 2.5]})))
primary, secondary = service.get_keys()

service.delete()
